"""The embedded demo corpus: German-English sentence pairs written by a small grammar, the same for the same seed.

Both sides of a sentence are made from one description: a `Clause` has a subject, a verb and its `Part`s, and is put into
words by `german_main` (verb second), `german_last` (verb final) and `english`. What makes it hard to translate is real:
word order, separable verbs whose end decides their meaning, case instead of position, pronouns that agree with gender.
"""

from __future__ import annotations

import bisect
import itertools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Protocol, TypeVar

from a2d_cli.config.schema import Generated
from a2d_cli.data import demo_lexicon as lexicon
from a2d_cli.data.demo_lexicon import Adjective, Noun, Slot, Verb

T = TypeVar("T")
Pair = tuple[str, str]  # German, English
MIN_WORDS, MAX_WORDS = 4, 30  # of either side


@dataclass(frozen=True)
class DemoCorpus:
    """Pairs (German, English); no sentence of either language occurs twice, neither within nor across the splits."""

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]


class Dice:
    """Choices from a seed, the same on every Python: only `Random.random` is promised not to change."""

    def __init__(self, seed: int):
        self._random = random.Random(seed).random

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self._random() * len(items))]

    def number(self, low: int, high: int) -> int:
        return low + int(self._random() * (high - low + 1))

    def zipf(self, items: Sequence[T]) -> T:
        """The r-th item with a probability proportional to 1 / (r + 2)."""
        return items[bisect.bisect(_zipf_sums(len(items)), self._random())]

    def weighted(self, weights: dict[T, float]) -> T:
        sums = list(itertools.accumulate(weights.values()))
        return list(weights)[bisect.bisect(sums, self._random() * sums[-1])]


@lru_cache(maxsize=None)
def _zipf_sums(length: int) -> list[float]:
    sums = list(itertools.accumulate(1 / (rank + 3) for rank in range(length)))
    return [value / sums[-1] for value in sums[:-1]]


# ------------------------------------------------------------------------------------------------ noun phrases


class Nominal(Protocol):
    """What can be a subject or an object."""

    person: int
    plural: bool

    def de(self, case: str) -> str:
        """In the case nom, acc, dat or gen."""

    def en(self, case: str) -> str:
        """As a subject (nom) or an object (any other case)."""

    def pronoun(self) -> Pronoun:
        """What refers back to it."""


#            person, plural, nom, acc, dat, reflexive acc, reflexive dat, possessive
GERMAN_PRONOUNS = {
    "ich": (1, False, "ich", "mich", "mir", "mich", "mir", "mein"),
    "du": (2, False, "du", "dich", "dir", "dich", "dir", "dein"),
    "er": (3, False, "er", "ihn", "ihm", "sich", "sich", "sein"),
    "sie": (3, False, "sie", "sie", "ihr", "sich", "sich", "ihr"),
    "es": (3, False, "es", "es", "ihm", "sich", "sich", "sein"),
    "wir": (1, True, "wir", "uns", "uns", "uns", "uns", "unser"),
    "ihr": (2, True, "ihr", "euch", "euch", "euch", "euch", "euer"),
    "sie alle": (3, True, "sie", "sie", "ihnen", "sich", "sich", "ihr"),
    "Sie": (3, True, "Sie", "Sie", "Ihnen", "sich", "sich", "Ihr"),
}
ENGLISH_PRONOUNS = {  # nom, acc, possessive, reflexive
    "I": ("I", "me", "my", "myself"), "you": ("you", "you", "your", "yourself"), "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "her", "herself"), "it": ("it", "it", "its", "itself"), "we": ("we", "us", "our", "ourselves"),
    "they": ("they", "them", "their", "themselves"), "you all": ("you", "you", "your", "yourselves"),
}


@dataclass(frozen=True)
class Pronoun:
    """A personal pronoun: German and English gender go their own ways (der Tisch: er, it)."""

    german: str
    english: str

    @property
    def person(self) -> int:
        return GERMAN_PRONOUNS[self.german][0]

    @property
    def plural(self) -> bool:
        return GERMAN_PRONOUNS[self.german][1]

    def de(self, case: str) -> str:
        return GERMAN_PRONOUNS[self.german][{"nom": 2, "acc": 3, "dat": 4}[case]]

    def reflexive(self, case: str) -> str:
        return GERMAN_PRONOUNS[self.german][{"acc": 5, "dat": 6}[case]]

    @property
    def possessive(self) -> str:
        return GERMAN_PRONOUNS[self.german][7]

    def en(self, case: str) -> str:
        return ENGLISH_PRONOUNS[self.english][case != "nom"]

    @property
    def possessive_en(self) -> str:
        return ENGLISH_PRONOUNS[self.english][2]

    @property
    def reflexive_en(self) -> str:
        return ENGLISH_PRONOUNS[self.english][3]

    def pronoun(self) -> Pronoun:
        return self


I, YOU, WE = Pronoun("ich", "I"), Pronoun("du", "you"), Pronoun("wir", "we")
HE, SHE, IT, THEY = Pronoun("er", "he"), Pronoun("sie", "she"), Pronoun("es", "it"), Pronoun("sie alle", "they")
YOU_ALL, FORMAL = Pronoun("ihr", "you all"), Pronoun("Sie", "you")
SPEAKERS = [HE, SHE, I, WE, THEY, YOU, YOU_ALL]


@dataclass(frozen=True)
class Name:
    """A person."""

    name: str
    sex: str  # m f
    surname: bool = False
    person: int = 3
    plural: bool = False

    def de(self, case: str) -> str:
        if self.surname:
            title = {"f": "Frau", "m": "Herr" if case == "nom" else "Herrn"}[self.sex]
            return f"{title} {self.name}"
        return self.name + ("s" if case == "gen" else "")

    def en(self, case: str) -> str:
        return {"f": "Ms. ", "m": "Mr. "}[self.sex] + self.name if self.surname else self.name

    def pronoun(self) -> Pronoun:
        return HE if self.sex == "m" else SHE


@dataclass(frozen=True)
class Toponym:
    """A city or a country, the latter sometimes with its article: die Schweiz."""

    german: str
    english: str
    person: int = 3
    plural: bool = False

    def de(self, case: str) -> str:
        bare = self.german.removeprefix("die_")
        return bare if bare == self.german else f"{'der' if case in ('dat', 'gen') else 'die'} {bare}"

    def en(self, case: str) -> str:
        return self.english.replace("_", " ")

    def pronoun(self) -> Pronoun:
        return IT

    def direction(self) -> str:
        return f"in {self.de('acc')}" if self.german.startswith("die_") else f"nach {self.german}"


DER = {"nom": "der die das die", "acc": "den die das die", "dat": "dem der dem den", "gen": "des der des der"}
EIN = {"nom": "- e - e", "acc": "en e - e", "dat": "em er em en", "gen": "es er es er"}
DIESER = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "es er es er"}
WEAK = {"nom": "e e e en", "acc": "en e e en", "dat": "en en en en", "gen": "en en en en"}
MIXED = {"nom": "er e es en", "acc": "en e es en", "dat": "en en en en", "gen": "en en en en"}
STRONG = {"nom": "er e es e", "acc": "en e es e", "dat": "em er em en", "gen": "en er en er"}

QUANTIFIERS = {"viele": "many", "einige": "some", "mehrere": "several", "wenige": "few"}


def ending(table: dict[str, str], case: str, gender: str, plural: bool) -> str:
    return table[case].split()[3 if plural else "mfn".index(gender)].replace("-", "")


@dataclass(frozen=True)
class NounPhrase:
    """A noun with what stands around it.

    Attributes:
        determiner: der, ein, kein, dies, jed, welch, alle, one of QUANTIFIERS, a possessive (mein), a number or '' for none.
        determiner_en: English of a possessive or a number.
        owner: a name before the noun (Annas Buch).
        after_de, after_en: what follows it (a genitive, a preposition, a relative clause with its commas).
    """

    noun: Noun
    plural: bool = False
    determiner: str = "der"
    determiner_en: str = ""
    adjectives: tuple[Adjective, ...] = ()
    owner: Name | None = None
    after_de: str = ""
    after_en: str = ""
    person: int = 3

    def de(self, case: str) -> str:
        before, endings = self._determiner_de(case)
        adjective_ending = ending(endings, case, self.noun.gender, self.plural)
        adjectives = [adjective.stem + adjective_ending for adjective in self.adjectives]
        return _words(before, *adjectives, self.noun.german(case, self.plural), self.after_de)

    def _determiner_de(self, case: str) -> tuple[str, dict[str, str]]:
        def inflected(table: dict[str, str]) -> str:
            return ending(table, case, self.noun.gender, self.plural)

        if self.owner:
            return self.owner.de("gen"), STRONG
        if self.determiner == "der":
            return inflected(DER), WEAK
        if self.determiner in ("dies", "jed", "welch"):
            return self.determiner + inflected(DIESER), WEAK
        if self.determiner == "alle":
            return "allen" if case == "dat" else "aller" if case == "gen" else "alle", WEAK
        if self.determiner in QUANTIFIERS:
            return self.determiner + {"dat": "n", "gen": "r"}.get(case, ""), STRONG
        if self.determiner.lower() in ("ein", "kein", "mein", "dein", "sein", "ihr", "unser", "euer"):
            suffix = inflected(EIN)
            stem = "eur" if self.determiner == "euer" and suffix else self.determiner
            return stem + suffix, MIXED
        return self.determiner, STRONG

    def en(self, case: str) -> str:
        noun = _words(*(adjective.en for adjective in self.adjectives), self.noun.plural_en if self.plural else self.noun.en)
        return _words(self._determiner_en(noun, case), noun, self.after_en)

    def _determiner_en(self, noun: str, case: str) -> str:
        if self.owner:
            return self.owner.en("gen") + "'s"
        if self.determiner_en:
            return self.determiner_en
        if self.determiner in QUANTIFIERS:
            return QUANTIFIERS[self.determiner]
        if self.determiner == "ein":
            return lexicon.article(noun)
        if self.determiner == "kein":
            if case == "nom":
                return "no"
            return "any" if self.plural or not self.noun.plural_de else lexicon.article(noun)
        this = "these" if self.plural else "this"
        return {"der": "the", "dies": this, "jed": "every", "welch": "which", "alle": "all the"}.get(self.determiner, "")

    def pronoun(self) -> Pronoun:
        if self.plural:
            return THEY
        return Pronoun({"m": "er", "f": "sie", "n": "es"}[self.noun.gender], self.noun.natural)


@dataclass(frozen=True)
class Pairing:
    """Two in one: Anna und ihr Bruder, weder den Hut noch die Jacke."""

    first: Nominal
    second: Nominal
    pattern_de: str = "{} und {}"
    pattern_en: str = "{} and {}"
    person: int = 3
    plural: bool = True

    def de(self, case: str) -> str:
        return self.pattern_de.format(self.first.de(case), self.second.de(case))

    def en(self, case: str) -> str:
        return self.pattern_en.format(self.first.en(case), self.second.en(case))

    def pronoun(self) -> Pronoun:
        return THEY


@dataclass(frozen=True)
class Gap:
    """What a relative clause or a question says about someone: stands first in German, is missing in English.

    Attributes:
        cases: German nom, acc, dat.
        front_en: what opens the English clause.
    """

    cases: tuple[str, str, str]
    front_en: str
    plural: bool = False
    person: int = 3
    german: str = "er"

    def de(self, case: str) -> str:
        return self.cases[("nom", "acc", "dat").index(case)]

    def en(self, case: str) -> str:
        return ""

    def pronoun(self) -> Pronoun:
        return THEY if self.plural else Pronoun(self.german, "he" if self.german == "er" else "she" if self.german == "sie" else "it")


def relative_pronoun(noun: Noun, plural: bool) -> Gap:
    cases = [ending(DER, case, noun.gender, plural) for case in ("nom", "acc", "dat")]
    if plural:
        cases[2] = "denen"
    return Gap(tuple(cases), "that" if noun.natural == "it" else "who", plural, german={"m": "er", "f": "sie", "n": "es"}[noun.gender])


WHO = Gap(("wer", "wen", "wem"), "who")
WHAT = Gap(("was", "was", "was"), "what")


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)


CONTRACTIONS = {
    "in dem": "im", "an dem": "am", "zu dem": "zum", "zu der": "zur", "von dem": "vom", "bei dem": "beim", "in das": "ins", "an das": "ans",
}


def prepositional(preposition: str, nominal: Nominal, case: str) -> str:
    """`in`, der Park, dat -> im Park; relative pronouns are not contracted."""
    first, _, rest = nominal.de(case).partition(" ")
    contracted = CONTRACTIONS.get(f"{preposition} {first}")
    if contracted and rest:
        return f"{contracted} {rest}"
    return _words(preposition, first, rest)


# ------------------------------------------------------------------------------------------------------ clauses

# The order of the German middle field, and of what follows the English verb.
GERMAN_ORDER = """acc_pronoun reflexive dat_pronoun attitude time frequency dative object manner not agent place new_object phrase transit
word prepositional direction predicate""".split()
ENGLISH_ORDER = """predicate object1 object2 phrase prepositional direction transit agent manner place time""".split()


@dataclass(frozen=True)
class Part:
    """A constituent in both languages; `role` and `role_en` are its places in GERMAN_ORDER and ENGLISH_ORDER.

    English roles besides: `adverb` stands before the verb, `opening` before the sentence.
    """

    role: str
    de: str
    en: str
    role_en: str
    nominal: Nominal | None = None
    front_en: str = ""


@dataclass(frozen=True)
class Tense:
    """German present past perfect pluperfect future would subjunctive; English the same and progressive since used."""

    de: str
    en: str


@dataclass(frozen=True)
class Modal:
    """German modal verb with the English one in the present and in the past."""

    german: str
    english: str
    english_past: str
    adverb: str = ""  # gern stands for a verb: likes to


MODALS = [
    Modal("können", "can", "could"), Modal("müssen", "have to", "have to"), Modal("wollen", "want to", "want to"),
    Modal("möchten", "would like to", "want to"), Modal("sollen", "should", "be supposed to"), Modal("dürfen", "be allowed to", "be allowed to"),
    Modal("", "like to", "like to", "gern"), Modal("", "prefer to", "prefer to", "lieber"),
]


@dataclass(frozen=True)
class Clause:
    """One finite clause; `subject_en` differs where German turns the roles round (der Film gefällt mir: I like the film)."""

    subject: Nominal
    verb: Verb
    tense: Tense
    parts: tuple[Part, ...] = ()
    modal: Modal | None = None
    negated: bool = False
    passive: bool = False
    extracted: Part | None = None
    english_subject: Nominal | None = None

    @property
    def subject_en(self) -> Nominal:
        return self.english_subject or self.subject


def german_verb(clause: Clause) -> tuple[str, list[str]]:
    """The finite form and what stands at the end of a main clause."""
    verb, tense = clause.verb, clause.tense.de
    person, plural = clause.subject.person, clause.subject.plural

    def form(infinitive: str, past: bool = False) -> str:
        return lexicon.german_finite(infinitive, person, plural, past)

    infinitive = [verb.participle, "werden"] if clause.passive else [verb.infinitive]
    if clause.modal and clause.modal.german:
        return form(clause.modal.german, tense == "past"), infinitive
    if tense in ("future", "would"):
        return form("werden" if tense == "future" else "würden"), infinitive
    if clause.passive:
        if tense == "perfect":
            return form("sein"), [verb.participle, "worden"]
        return form("werden", tense == "past"), [verb.participle]
    if tense in ("perfect", "pluperfect"):
        return form("sein" if verb.with_sein else "haben", tense == "pluperfect"), [verb.participle]
    if tense == "subjunctive":
        return form({"haben": "hätten", "sein": "wären"}[verb.base]), []
    return verb.finite(person, plural, tense == "past"), [verb.prefix] if verb.separable else []


def german_field(clause: Clause, front: Part | None = None) -> list[str]:
    parts = [part for part in clause.parts if part is not front]
    return [part.de for part in sorted(parts, key=lambda part: GERMAN_ORDER.index(part.role))]


def german_main(clause: Clause, front: Part | None = None, opener: str = "") -> str:
    """Verb second: subject, finite verb, field, rest of the verb; or `front` (a part of it, or a word before it) first."""
    finite, tail = german_verb(clause)
    first = front.de if front else opener
    before = [first, finite, clause.subject.de("nom")] if first else [clause.subject.de("nom"), finite]
    return _words(*before, *german_field(clause, front), *tail)


def german_question(clause: Clause) -> str:
    """Verb first, or second after what is asked for."""
    finite, tail = german_verb(clause)
    if isinstance(clause.subject, Gap):
        return german_main(clause)
    opener = clause.extracted.de if clause.extracted else ""
    return _words(opener, finite, clause.subject.de("nom"), *german_field(clause), *tail)


def german_last(clause: Clause, opener: str = "") -> str:
    """Verb final: after a conjunction, or a relative or question word."""
    finite, tail = german_verb(clause)
    if tail == [clause.verb.prefix]:
        tail, finite = [], clause.verb.prefix + finite
    opener = clause.extracted.de if clause.extracted else opener
    return _words(opener, clause.subject.de("nom"), *german_field(clause), *tail, finite)


def german_infinitive(clause: Clause) -> str:
    """The zu-infinitive: den Lehrer anzurufen."""
    return _words(*german_field(clause), clause.verb.zu_infinitive)


def _be(subject: Nominal, past: bool) -> str:
    if subject.plural or subject.person == 2:
        return "were" if past else "are"
    if past:
        return "was"
    return "am" if subject.person == 1 else "is"


def english_form(verb: str, subject: Nominal, past: bool) -> str:
    if verb == "be":
        return _be(subject, past)
    if past:
        return lexicon.english_past(verb)
    third = subject.person == 3 and not subject.plural
    return lexicon.english_third(verb) if third else verb


def english_verb(clause: Clause, auxiliary: bool) -> tuple[list[str], list[str]]:
    """The finite word, if it can stand before `not` and the subject, and the other words of the verb.

    Args:
        auxiliary: whether one is needed: reads -> does, read.
    """
    subject, tense = clause.subject_en, clause.tense.en
    head = clause.verb.english.split()[0]
    rest: list[str] = []
    if clause.passive:
        head, rest = "be", [lexicon.english_participle(head)]
    if clause.modal:
        modal = (clause.modal.english_past if tense in ("past", "would") else clause.modal.english).split()
        if modal[0] in ("can", "could", "should", "would"):
            return [modal[0]], [*modal[1:], head, *rest]
        head, rest = modal[0], [*modal[1:], head, *rest]
    if tense in ("future", "would"):
        return ["will" if tense == "future" else "would"], [head, *rest]
    if tense == "used":
        return [], ["used", "to", head, *rest]
    if tense in ("perfect", "since", "pluperfect"):
        have = "had" if tense == "pluperfect" else english_form("have", subject, past=False)
        been = ["been", lexicon.english_gerund(head)] if tense == "since" else [lexicon.english_participle(head)]
        return [have], [*been, *rest]
    if tense == "progressive":
        return [_be(subject, past=False)], [lexicon.english_gerund(head), *rest]
    past = tense in ("past", "subjunctive")
    if head == "be":
        be = "were" if tense == "subjunctive" else _be(subject, past)
        return [be], rest
    if auxiliary:
        return [english_form("do", subject, past)], [head, *rest]
    return [], [english_form(head, subject, past), *rest]


def english_tail(clause: Clause) -> list[str]:
    """What follows the verb: its particle, objects, and the rest."""
    words, particle = clause.verb.english.split()[1:], ""
    if "~" in words:
        at = words.index("~")
        words, particle = words[:at], " ".join(words[at + 1 :])
    parts = [part for part in clause.parts if part.role_en in ENGLISH_ORDER]
    if clause.extracted and clause.extracted.en:
        parts.append(clause.extracted)  # the preposition of what stands in front
    parts.sort(key=lambda part: ENGLISH_ORDER.index(part.role_en))
    if particle:
        pronouns = [part for part in parts if isinstance(part.nominal, Pronoun) and part.role_en.startswith("object")]
        parts = [part for part in parts if part not in pronouns]
        words = [*words, *(part.en for part in pronouns), particle]
    oneself = clause.subject_en.pronoun().reflexive_en
    return [oneself if word == "oneself" else word for word in words] + [part.en for part in parts]


def english(clause: Clause, opener: str = "", question: bool = False, end_time: bool = True) -> str:
    """The clause as a statement, or a question with its auxiliary first."""
    subject = clause.subject_en
    inverted = question and not isinstance(subject, Gap)
    adverbs = [part.en for part in clause.parts if part.role_en == "adverb"]
    finite, rest = english_verb(clause, auxiliary=clause.negated or inverted)
    if clause.extracted and not opener:
        opener = clause.extracted.front_en
    elif isinstance(subject, Gap):
        opener = subject.front_en
    negation = ["not"] if clause.negated else []
    name = subject.en("nom")
    before = [opener, *finite, name] if inverted else [opener, name, *finite]
    return _words(*before, *negation, *adverbs, *rest, *english_tail(clause)).replace("can not", "cannot")


def english_infinitive(clause: Clause, gerund: bool = False) -> str:
    """to call the teacher, or calling the teacher."""
    head = clause.verb.english.split()[0]
    verb = lexicon.english_gerund(head) if gerund else f"to {head}"
    adverbs = [part.en for part in clause.parts if part.role_en == "adverb"]
    return _words(*adverbs, verb, *english_tail(clause))


# ------------------------------------------------------------------------------------------- numbers and times

ONES_DE = """null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn
neunzehn""".split()
ONES_EN = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen""".split()
TENS_DE = "_ zehn zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()
TENS_EN = "_ ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_de(number: int) -> str:
    """23 -> dreiundzwanzig, for 1 to 9,999 before a noun."""
    if number < 20:
        return ONES_DE[number] if number != 1 else "ein"
    if number < 100:
        tens, ones = divmod(number, 10)
        return (number_de(ones) + "und" if ones else "") + TENS_DE[tens]
    unit, word = (100, "hundert") if number < 1000 else (1000, "tausend")
    count, rest = divmod(number, unit)
    return number_de(count) + word + (number_de(rest) if rest else "")


def number_en(number: int) -> str:
    """23 -> twenty-three, for 1 to 9,999."""
    if number < 20:
        return ONES_EN[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return TENS_EN[tens] + (f"-{ONES_EN[ones]}" if ones else "")
    unit, word = (100, "hundred") if number < 1000 else (1000, "thousand")
    count, rest = divmod(number, unit)
    return f"{number_en(count)} {word}" + (f" {number_en(rest)}" if rest else "")


def clock(dice: Dice) -> Pair:
    """halb vier is half past three."""
    hour = dice.number(1, 11)
    this, that = ("eins" if h == 1 else number_de(h) for h in (hour, hour + 1))
    now, later = number_en(hour), number_en(hour + 1)
    return dice.pick([
        (f"um halb {that}", f"at half past {now}"), (f"um Viertel nach {this}", f"at a quarter past {now}"),
        (f"um Viertel vor {that}", f"at a quarter to {later}"), (f"um {number_de(hour)} Uhr", f"at {now} o'clock"),
        (f"um zehn nach {this}", f"at ten past {now}"), (f"um {hour + 12}.30 Uhr", f"at {hour}:30 p.m."),
    ])


UNITS = [
    ("Tag", "Tagen", "day"), ("Jahr", "Jahren", "year"), ("Woche", "Wochen", "week"), ("Monat", "Monaten", "month"),
    ("Stunde", "Stunden", "hour"), ("Minute", "Minuten", "minute"),
]


def ago(dice: Dice) -> Pair:
    _, plural, unit = dice.pick(UNITS)
    count = dice.number(2, 12)
    return f"vor {number_de(count)} {plural}", f"{number_en(count)} {unit}s ago"


def date(dice: Dice) -> Pair:
    german, english_month = dice.pick(lexicon.MONTHS.split()).split("=")
    day = dice.number(1, 30)
    return f"am {day}. {german}", f"on {english_month} {day}"


def year(dice: Dice, preposition_de: str = "im Jahr", preposition_en: str = "in") -> Pair:
    number = dice.number(1920, 2020)
    return f"{preposition_de} {number}", f"{preposition_en} {number}"


def since(dice: Dice, tags: frozenset[str]) -> Pair:
    if "y" in tags and dice.chance(0.3):
        return year(dice, "seit", "since")
    if dice.chance(0.15):
        return dice.pick([("seit Montag", "since Monday"), ("seit gestern", "since yesterday"), ("seit Anfang Mai", "since early May")])
    _, plural, unit = dice.pick(UNITS[:4] if "y" in tags else UNITS[4:])
    count = dice.number(2, 25)
    return f"seit {number_de(count)} {plural}", f"for {number_en(count)} {unit}s"


def price(dice: Dice) -> Pair:
    if dice.chance(0.3):
        euros, cents = dice.number(1, 90), dice.pick(["50", "99", "20", "75"])
        return f"{euros},{cents} Euro", f"{euros}.{cents} euros"
    euros = dice.pick([dice.number(2, 99), 100 * dice.number(1, 12)])
    return f"{number_de(euros)} Euro", f"{number_en(euros)} euros"


def duration(dice: Dice) -> Pair:
    if dice.chance(0.2):
        return dice.pick([("eine Stunde", "one hour"), ("einen Tag", "one day"), ("eine halbe Stunde", "half an hour"), ("einen Monat", "one month")])
    german, _, unit = dice.pick(UNITS)
    count = dice.number(2, 60)
    plural = german + ("n" if german.endswith("e") else "e")
    return f"{number_de(count)} {plural}", f"{number_en(count)} {unit}s"


def time_part(dice: Dice, group: str, verb: Verb) -> Part:
    """When it happens: `group` is a key of WHEN, or since, used."""
    role_en = "time"
    if group == "since":
        german, english_time = since(dice, verb.tags)
    elif group == "used":
        german, english_time, role_en = "früher", "", "none"
    else:
        german, english_time = dice.zipf(lexicon.pairs(lexicon.WHEN[group]))
        if group == "past" and dice.chance(0.35):
            german, english_time = dice.pick([ago, ago, date, year, clock])(dice)
        elif group == "habit" and dice.chance(0.15):
            german, english_time = clock(dice)
        elif group == "done":
            role_en = "adverb"
    return Part("time", german, english_time, role_en)


# --------------------------------------------------------------------------------------------- choosing phrases

# Kinds that do not take any determiner: which they take.
STYLES = {
    "break": "ein", "photo": "ein - viele", "question": "ein", "decision": "ein", "speech": "ein der", "talk": "ein", "help": "-", "smell": "-",
    "illness": "ein", "money": "der -", "sun": "der", "set": "der", "storm": "der", "topic": "der", "trouble": "der", "noise": "der", "scare": "der",
    "occasion": "der", "task": "der", "room": "der poss", "company": "der ein dies", "institution": "der ein dies", "price": "der",
    "part": "number", "hope": "der poss", "exam": "der ein", "fire": "der", "word": "der dies ein", "lock": "der dies",
    "school": "der ein", "cinema": "der ein", "garden": "der poss", "water": "der ein", "homework": "der poss",
    "place": "der der der poss ein dies", "building": "der der ein dies", "bill": "der poss", "contract": "der ein dies",
}
USUAL = "der der der der ein ein ein poss poss dies - number jed viele alle"
FREE_OWNERS = [I, WE, YOU]


def noun_phrase(dice: Dice, kinds: Sequence[str], owner: Nominal | None = None, lean: bool = False, kein: bool = False) -> NounPhrase:
    """A phrase whose noun is of one of the kinds; a possessive refers to `owner`, or to me, us, you.

    Args:
        lean: nothing after the noun.
        kein: an indefinite one is negated.
    """
    kind = dice.pick(kinds)
    noun = dice.zipf(lexicon.ALL_NOUNS[kind])
    compounds = lexicon.ALL_COMPOUNDS.get((kind, noun.de))
    if compounds and dice.chance(0.35):
        noun = dice.pick(compounds)
    style = dice.pick(STYLES.get(kind, USUAL).split())
    countable = bool(noun.plural_de)
    plural = countable and (style in ("-", "number", "viele", "alle") or (style in ("der", "poss", "dies") and dice.chance(0.25)))
    if kind in ("storm", "topic", "sun", "set", "illness", "room", "scare", "task", "occasion"):
        plural = False
    if not countable and style in ("ein", "number", "jed", "viele", "alle"):
        style = "-" if style == "ein" else "der"
    phrase = NounPhrase(noun, plural, "" if style == "-" else style)
    if style == "poss":
        phrase = _possessive(phrase, dice, owner)
    elif style == "number":
        count = dice.number(2, 12) if dice.chance(0.7) else dice.number(13, 99)
        phrase = replace(phrase, determiner=number_de(count), determiner_en=number_en(count))
    elif style == "viele":
        phrase = replace(phrase, determiner=dice.zipf(list(QUANTIFIERS)))
    if kein and phrase.determiner in ("ein", ""):
        phrase = replace(phrase, determiner="kein")
    phrase = replace(phrase, adjectives=_adjectives(dice, phrase))
    return phrase if lean else _with_tail(dice, phrase)


def _possessive(phrase: NounPhrase, dice: Dice, owner: Nominal | None) -> NounPhrase:
    if phrase.noun.kind not in ("person", "thief", "place") and dice.chance(0.3):
        return replace(phrase, owner=first_name(dice))
    person = owner.pronoun() if owner and not isinstance(owner, Gap) and owner.pronoun() != FORMAL else dice.zipf(FREE_OWNERS)
    if phrase.noun.kind in ("person", "thief", "place", "building") and person == IT:
        person = I
    return replace(phrase, determiner=person.possessive, determiner_en=person.possessive_en)


def _adjectives(dice: Dice, phrase: NounPhrase) -> tuple[Adjective, ...]:
    choices = lexicon.ADJECTIVES_OF.get(phrase.noun.kind)
    if not choices or not dice.chance(0.38) or phrase.noun.kind in ("photo", "break", "help", "smell", "illness", "part"):
        return ()
    adjective = dice.zipf(choices)
    if phrase.determiner == "der" and dice.chance(0.1):
        return (adjective.superlative(),)
    if phrase.determiner == "ein" and dice.chance(0.06):
        return (adjective.comparative(),)
    colors = [Adjective(*pair) for pair in (entry.split(" ") for entry in lexicon.COLORS.split(", "))]
    if phrase.noun.kind in ("thing", "clothes", "vehicle") and adjective not in colors and dice.chance(0.12):
        return adjective, dice.pick(colors)
    return (adjective,)


def _with_tail(dice: Dice, phrase: NounPhrase) -> NounPhrase:
    """With a genitive, an attribute or a relative clause, sometimes."""
    kind = phrase.noun.kind
    german, english_tail_words = "", ""
    if kind == "housepart":
        whole = noun_phrase(dice, ["building"], lean=True)
        german, english_tail_words = whole.de("gen"), f"of {whole.en('gen')}"
        if whole.determiner in ("", "ein") and whole.plural:
            german, english_tail_words = "", ""
    elif phrase.determiner in ("der", "ein", "dies", "") or phrase.determiner in QUANTIFIERS:
        if kind == "person" and dice.chance(0.07):
            feature = replace(noun_phrase(dice, ["feature"], lean=True), determiner="der", determiner_en="", plural=False, owner=None)
            german, english_tail_words = f"mit {feature.de('dat')}", f"with {feature.en('dat')}"
        elif kind in ("clothes", "thing", "text", "device", "vehicle", "animal", "idea", "problem", "person") and dice.chance(0.06):
            whose = replace(noun_phrase(dice, ["person"], lean=True), determiner="der", determiner_en="", owner=None)
            german, english_tail_words = whose.de("gen"), f"of {whose.en('gen')}"
        elif phrase.determiner and kind not in ("sun", "set", "storm", "help", "price", "trouble", "noise") and dice.chance(0.1):
            german, english_tail_words = relative_clause(dice, phrase)
    return replace(phrase, after_de=german, after_en=english_tail_words)


def relative_clause(dice: Dice, phrase: NounPhrase) -> Pair:
    gap = relative_pronoun(phrase.noun, phrase.plural)
    group = dice.pick(["past", "past", "habit"])
    kind = phrase.noun.kind
    as_object = [(verb, index) for verb, index in OBJECT_VERBS.get(kind, []) if kind != "place"]
    if as_object and dice.chance(0.5):
        verb, index = dice.zipf(as_object)
        clause = make_clause(dice, group, verb=verb, given={index: gap}, extract=index, lean=True)
    elif kind in SUBJECT_VERBS:
        clause = make_clause(dice, group, verb=dice.zipf(SUBJECT_VERBS[kind]), subject=gap, lean=True)
    else:
        return "", ""
    return f", {german_last(clause)} ,", english(clause)


def first_name(dice: Dice) -> Name:
    sex = dice.pick("fm")
    return Name(dice.zipf(lexicon.PERSON_NAMES[sex].split()), sex)


def someone(dice: Dice, lean: bool = False, formal: bool = False) -> Nominal:
    """A person as a subject."""
    choice = dice.weighted({"noun": 44, "pronoun": 30, "name": 18, "both": 4, "formal": 12 * formal})
    if choice == "pronoun":
        return dice.zipf(SPEAKERS)
    if choice == "name":
        return first_name(dice) if dice.chance(0.7) else Name(dice.zipf(lexicon.SURNAMES.split()), dice.pick("fm"), surname=True)
    if choice == "both":
        name = first_name(dice)
        relative = NounPhrase(dice.zipf(lexicon.ALL_NOUNS["person"]), False, name.pronoun().possessive, name.pronoun().possessive_en)
        return Pairing(name, relative)
    return FORMAL if choice == "formal" else noun_phrase(dice, ["person"], lean=lean)


OBJECT_PRONOUNS = [HE, SHE, I, WE, YOU, YOU_ALL]
COORDINATIONS = [
    ("{} und {}", "{} and {}"), ("sowohl {} als auch {}", "both {} and {}"), ("{} oder {}", "{} or {}"),
    ("nicht nur {}, sondern auch {}", "not only {} but also {}"),
]


def some_object(dice: Dice, slot: Slot, subject: Nominal, lean: bool, kein: bool) -> Nominal:
    """What fills a slot: a pronoun, a name, a city, or a noun phrase, never the subject again."""
    kind = dice.pick(slot.kinds)
    if kind in ("city", "country"):
        return toponym(dice, kind)
    if kind == "person":
        if dice.chance(0.22):
            pronouns = [p for p in OBJECT_PRONOUNS if (p.person, p.plural) != (subject.person, subject.plural) or p.person == 3]
            return dice.zipf([p for p in pronouns if p.person == 3 or p.person != subject.person])
        if dice.chance(0.22):
            return first_name(dice) if not isinstance(subject, Name) else Name(dice.zipf(lexicon.SURNAMES.split()), "f", True)
    while True:
        phrase = noun_phrase(dice, slot.kinds if kind != "person" else [kind], subject, lean, kein)
        if not isinstance(subject, NounPhrase) or subject.noun.en != phrase.noun.en:
            break
    if not lean and not phrase.after_de and not kein and kind not in STYLES and dice.chance(0.06):
        other = noun_phrase(dice, [kind], subject, lean=True)
        if other.noun != phrase.noun:
            return Pairing(phrase, other, *dice.zipf(COORDINATIONS))
    return phrase


def toponym(dice: Dice, kind: str) -> Toponym:
    names = dice.zipf((lexicon.CITIES if kind == "city" else lexicon.COUNTRIES).split()).split("=")
    return Toponym(names[0], names[-1])


def is_new(nominal: Nominal) -> bool:
    """Indefinite: stands later in the German field."""
    definite = ("der", "dies", "jed", "alle", "welch")
    return isinstance(nominal, NounPhrase) and not (
        nominal.determiner in definite or nominal.owner or (nominal.determiner_en and nominal.determiner_en in "my your his her its our their".split())
    )


# --------------------------------------------------------------------------------------------- choosing clauses

SUBJECT_VERBS: dict[str, list[Verb]] = {}  # verbs by the kind of their subject, and (verb, slot) by that of an object
OBJECT_VERBS: dict[str, list[tuple[Verb, int]]] = {}
for _verb in lexicon.ALL_VERBS:
    for _kind in _verb.subjects:
        SUBJECT_VERBS.setdefault(_kind, []).append(_verb)
    for _index, _slot in enumerate(_verb.slots):
        if _slot.case in ("acc", "dat") and "person" in _verb.subjects and not _slot.becomes_subject:
            for _kind in _slot.kinds:
                OBJECT_VERBS.setdefault(_kind, []).append((_verb, _index))

BESIDE = [("auf", "on"), ("neben", "next to"), ("unter", "under"), ("hinter", "behind"), ("vor", "in front of")]


def slot_part(dice: Dice, slot: Slot, subject: Nominal, lean: bool, kein: bool, given: Nominal | None) -> Part:
    """The constituent that a slot of the verb's frame asks for."""
    if slot.case == "reflexive":
        return Part("reflexive", subject.pronoun().reflexive(slot.de), "", "none")
    if slot.case == "word":
        return Part("word", slot.de, "", "none")
    if slot.case == "phrase":
        name = slot.kinds[0]
        german, words = {"price": price, "duration": duration}[name](dice) if name not in lexicon.PHRASES else dice.zipf(lexicon.pairs(lexicon.PHRASES[name]))
        role = "transit" if name == "transit" else "phrase"
        return Part(role, german, words, role)
    if slot.case in ("wo", "wohin"):
        return place_part(dice, slot.kinds, subject, towards=slot.case == "wohin")
    if slot.case in ("loc", "onto"):
        german, words = dice.zipf(BESIDE)
        furniture = noun_phrase(dice, ["furniture"], subject, lean=True)
        furniture = replace(furniture, plural=False, determiner="der", determiner_en="", owner=None)
        case, role = ("dat", "place") if slot.case == "loc" else ("acc", "direction")
        return Part(role, prepositional(german, furniture, case), f"{words} {furniture.en(case)}", "prepositional")
    nominal = given or some_object(dice, slot, subject, lean, kein and slot.case == "acc" and not slot.de)
    front = nominal.front_en if isinstance(nominal, Gap) else nominal.en("acc")
    if slot.de:
        role_en = "prepositional" if slot.en else "object2"
        return Part("prepositional", prepositional(slot.de, nominal, slot.case), _words(slot.en, nominal.en("acc")), role_en, nominal, front)
    role = {"acc": "object", "dat": "dative"}[slot.case]
    if isinstance(nominal, Pronoun):
        role = f"{slot.case}_pronoun"
    elif role == "object" and is_new(nominal):
        role = "new_object"
    role_en = "prepositional" if slot.en else "object1" if slot.case == "dat" else "object2"
    return Part(role, nominal.de(slot.case), _words(slot.en, nominal.en("acc")), role_en, nominal, front)


def place_part(dice: Dice, kinds: Sequence[str], owner: Nominal, towards: bool) -> Part:
    """im Park, in the park; nach Rom, to Rome; zum Bahnhof, to the train station."""
    kind = dice.pick(kinds)
    role = "direction" if towards else "place"
    if kind in ("city", "country"):
        where = toponym(dice, kind)
        german = where.direction() if towards else f"in {where.de('dat')}"
        return Part(role, german, f"{'to' if towards else 'in'} {where.en('acc')}", role)
    place = noun_phrase(dice, [kind] if kind in lexicon.ALL_NOUNS and kind != "building" else ["place"], owner, lean=True)
    place = replace(place, plural=False) if place.determiner not in ("viele", "alle") else place
    preposition, preposition_en = place.noun.at
    if towards:
        preposition, case = ("zu", "dat") if preposition == "an" else (preposition, "acc")
        return Part(role, prepositional(preposition, place, case), f"to {place.en('acc')}", role)
    return Part(role, prepositional(preposition, place, "dat"), f"{preposition_en} {place.en('acc')}", role)


def fitting_group(dice: Dice, group: str, verb: Verb) -> str:
    """The setting, or the nearest that the verb can stand in."""
    if group == "since" and not verb.tags & {"h", "y"}:
        return "past"
    if group in ("done", "now") and ("s" in verb.tags or verb.base in ("sein", "haben")):
        return "habit"
    return "past" if group == "used" and ("n" in verb.tags or verb.slots == ()) else group


def choose_tense(dice: Dice, group: str, verb: Verb, subject: Nominal, modal: Modal | None, passive: bool) -> Tense:
    static = "s" in verb.tags or verb.base in ("haben", "sein") or (modal is not None and bool(modal.german)) or passive
    if group == "past":
        colloquial = not static and (subject.person == 2 or dice.chance(0.6))
        return Tense("perfect" if colloquial else "past", "past")
    if group == "future":
        if modal and modal.german:
            return Tense("present", "present")
        return Tense("future" if dice.chance(0.5) else "present", "future")
    if group == "since":
        return Tense("present", "perfect" if static else "since")
    return {
        "habit": Tense("present", "present"), "now": Tense("present", "progressive"), "done": Tense("perfect", "perfect"),
        "used": Tense("past", "used"), "pluperfect": Tense("pluperfect", "pluperfect"), "would": Tense("would", "would"),
    }[group]


GROUPS = {"past": 44, "habit": 22, "future": 9, "now": 8, "done": 6, "since": 6, "used": 3}


def make_clause(
    dice: Dice,
    group: str,
    *,
    verb: Verb | None = None,
    subject: Nominal | None = None,
    given: dict[int, Nominal] | None = None,
    extract: int | None = None,
    lean: bool = False,
    main: bool = False,
    formal: bool = False,
) -> Clause:
    """A clause about anything.

    Args:
        group: the setting in time: a key of GROUPS, or pluperfect, would, can, could.
        given: what fills a slot of the verb's frame, by its index.
        extract: the slot that is asked for, or that a relative pronoun fills.
        lean: short: few adverbials, nothing after nouns.
        main: a main clause, which may have adverbs of the speaker's attitude.
        formal: the subject may be Sie.
    """
    verb = verb or dice.zipf(SUBJECT_VERBS["person"] if dice.chance(0.85) else lexicon.ALL_VERBS)
    if subject is None:
        kind = dice.pick(verb.subjects)
        subject = someone(dice, lean, formal) if kind == "person" else noun_phrase(dice, [kind], lean=lean)
    modal = None
    if group in ("can", "could"):
        modal, group = MODALS[0], "habit" if group == "can" else "past"
    group = fitting_group(dice, group, verb)
    if not modal and group in ("past", "habit", "future") and not verb.tags & {"s", "n"} and "person" in verb.subjects and dice.chance(0.15):
        modal = dice.zipf(MODALS)
        if modal.german == "möchten" and group == "past":
            modal = MODALS[2]
    tense = choose_tense(dice, group, verb, subject, modal, passive=False)
    roles = [slot.case for slot in verb.slots]
    negated = "n" not in verb.tags and "phrase" not in roles and group in GROUPS and group not in ("done", "since", "used", "now") and dice.chance(0.12)
    negated = negated and not (modal and modal.adverb)
    parts = [slot_part(dice, slot, subject, lean, negated, (given or {}).get(i)) for i, slot in enumerate(verb.slots)]
    extracted = parts[extract] if extract is not None else None
    parts = [part for part in parts if part is not extracted]
    english_subject = None
    for part, slot in zip(parts, verb.slots):
        if slot.becomes_subject:
            english_subject = part.nominal
            parts[parts.index(part)] = replace(part, role_en="none")
            parts.append(Part("none", "", subject.en("acc"), "object2"))
    if modal and modal.adverb:
        parts.append(Part("manner", modal.adverb, "", "none"))
    if negated and not any(isinstance(p.nominal, NounPhrase) and p.nominal.determiner == "kein" for p in parts):
        parts.append(Part("not", "nicht", "", "none"))
    parts += adverbials(dice, group, verb, subject, {part.role for part in parts}, lean, main, negated)
    return Clause(subject, verb, tense, tuple(p for p in parts), modal, negated, False, extracted, english_subject)
