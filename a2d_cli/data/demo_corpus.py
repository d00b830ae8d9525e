"""The embedded demo corpus: German-English sentence pairs from a small grammar, the same for the same seed.

Both sides are made from one description: a `Clause` has a subject, a verb and its `Part`s, and is put into
words by `german_main` (verb second), `german_last` (verb final) and `in_english`. What is hard to translate is
real: word order, separable verbs whose end decides their meaning, case instead of position, agreement.
"""

from __future__ import annotations

import bisect
import itertools
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol, TypeVar

from a2d_cli.config.schema import Generated
from a2d_cli.data import demo_lexicon as lexicon
from a2d_cli.data.demo_lexicon import Adjective, Noun, Slot, Verb

T = TypeVar("T")
Pair = tuple[str, str]  # German, English
MIN_WORDS, MAX_WORDS = 4, 30  # of either side
# The r-th word of a list (from 0) is taken with a probability proportional to (r + offset) ** -exponent.
ZIPF_OFFSET, ZIPF_EXPONENT = 2, 1.3


@dataclass(frozen=True)
class DemoCorpus:
    """Pairs (German, English); no sentence of either language occurs twice in all of it."""

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
        """An item of a list that is in the order of frequency."""
        return items[bisect.bisect(_zipf_sums(len(items)), self._random())]

    def weighted(self, weights: dict[T, float]) -> T:
        sums = list(itertools.accumulate(weights.values()))
        return list(weights)[bisect.bisect(sums, self._random() * sums[-1])]


@cache
def _zipf_sums(length: int) -> list[float]:
    sums = list(itertools.accumulate((rank + ZIPF_OFFSET) ** -ZIPF_EXPONENT for rank in range(length)))
    return [value / sums[-1] for value in sums[:-1]]


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
    "I": ("I", "me", "my", "myself"),
    "you": ("you", "you", "your", "yourself"),
    "he": ("he", "him", "his", "himself"),
    "she": ("she", "her", "her", "herself"),
    "it": ("it", "it", "its", "itself"),
    "we": ("we", "us", "our", "ourselves"),
    "they": ("they", "them", "their", "themselves"),
    "you all": ("you", "you", "your", "yourselves"),
    "one": ("one", "one", "one's", "oneself"),
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
HE, SHE, IT, THEY = (
    Pronoun("er", "he"),
    Pronoun("sie", "she"),
    Pronoun("es", "it"),
    Pronoun("sie alle", "they"),
)
YOU_ALL, FORMAL, ONE = Pronoun("ihr", "you all"), Pronoun("Sie", "you"), Pronoun("er", "one")
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
        determiner: der, ein, kein, dies, jed, welch, alle, one of QUANTIFIERS, a possessive (mein), a number
            or '' for none.
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
        noun = _words(
            *(adjective.en for adjective in self.adjectives),
            self.noun.plural_en if self.plural else self.noun.en,
        )
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
        if self.determiner == "dies":
            return "these" if self.plural else "this"
        return {"der": "the", "jed": "every", "welch": "which", "alle": "all the"}.get(self.determiner, "")

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
        english_of = {"er": "he", "sie": "she", "es": "it"}
        return THEY if self.plural else Pronoun(self.german, english_of[self.german])


def relative_pronoun(noun: Noun, plural: bool) -> Gap:
    cases = [ending(DER, case, noun.gender, plural) for case in ("nom", "acc", "dat")]
    if plural:
        cases[2] = "denen"
    return Gap(
        tuple(cases),
        "that" if noun.natural == "it" else "who",
        plural,
        german={"m": "er", "f": "sie", "n": "es"}[noun.gender],
    )


WHO = Gap(("wer", "wen", "wem"), "who")
WHAT = Gap(("was", "was", "was"), "what")


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)


CONTRACTIONS = {
    "in dem": "im",
    "an dem": "am",
    "zu dem": "zum",
    "zu der": "zur",
    "von dem": "vom",
    "bei dem": "beim",
    "in das": "ins",
    "an das": "ans",
}


def prepositional(preposition: str, nominal: Nominal, case: str) -> str:
    """`in`, der Park, dat -> im Park; relative pronouns are not contracted."""
    first, _, rest = nominal.de(case).partition(" ")
    contracted = CONTRACTIONS.get(f"{preposition} {first}")
    if contracted and rest:
        return f"{contracted} {rest}"
    return _words(preposition, first, rest)


# The order of the German middle field, and of what follows the English verb.
GERMAN_FIELD = (
    "acc_pronoun reflexive dat_pronoun attitude time frequency dative object manner not agent place "
    "new_object phrase transit word prepositional direction predicate"
)
ENGLISH_FIELD = "predicate object1 object2 phrase prepositional direction transit agent manner place time"
GERMAN_ORDER = {role: order for order, role in enumerate(GERMAN_FIELD.split())}
ENGLISH_ORDER = {role: order for order, role in enumerate(ENGLISH_FIELD.split())}


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
    """present past perfect pluperfect future would subjunctive; English also progressive since used."""

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
    Modal("können", "can", "could"),
    Modal("müssen", "have to", "have to"),
    Modal("wollen", "want to", "want to"),
    Modal("möchten", "would like to", "want to"),
    Modal("sollen", "should", "be supposed to"),
    Modal("dürfen", "be allowed to", "be allowed to"),
    Modal("", "like to", "like to", "gern"),
    Modal("", "prefer to", "prefer to", "lieber"),
]


@dataclass(frozen=True)
class Clause:
    """A finite clause; the English subject may be another: der Film gefällt mir, I like the film."""

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
    parts = [part for part in clause.parts if part is not front and part.role in GERMAN_ORDER]
    return [part.de for part in sorted(parts, key=lambda part: GERMAN_ORDER[part.role])]


def german_main(clause: Clause, front: Part | None = None, opener: str = "") -> str:
    """Verb second: the subject, a part of the clause (`front`) or a word (`opener`) stands before it."""
    finite, tail = german_verb(clause)
    first = front.de if front else opener
    if not first:
        return _words(clause.subject.de("nom"), finite, *german_field(clause), *tail)
    return _words(first, finite, *subject_and_field(clause, front), *tail)


def subject_and_field(clause: Clause, front: Part | None = None) -> list[str]:
    """What follows the finite verb where the subject does not precede it; `sich` goes before a noun."""
    subject, rest = clause.subject.de("nom"), german_field(clause, front)
    if rest and rest[0] == "sich" and not isinstance(clause.subject, Pronoun):
        return [rest[0], subject, *rest[1:]]
    return [subject, *rest]


def german_question(clause: Clause) -> str:
    """Verb first, or second after what is asked for."""
    finite, tail = german_verb(clause)
    if isinstance(clause.subject, Gap):
        return german_main(clause)
    opener = clause.extracted.de if clause.extracted else ""
    return _words(opener, finite, *subject_and_field(clause), *tail)


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
        been = (
            ["been", lexicon.english_gerund(head)] if tense == "since" else [lexicon.english_participle(head)]
        )
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
    parts.sort(key=lambda part: ENGLISH_ORDER[part.role_en])
    if particle:
        pronouns = [
            part for part in parts if isinstance(part.nominal, Pronoun) and part.role_en.startswith("object")
        ]
        parts = [part for part in parts if part not in pronouns]
        words = [*words, *(part.en for part in pronouns), particle]
    oneself = clause.subject_en.pronoun().reflexive_en
    return [oneself if word == "oneself" else word for word in words] + [part.en for part in parts]


def in_english(clause: Clause, opener: str = "", question: bool = False) -> str:
    """The clause as a statement, or a question with its auxiliary first."""
    subject = clause.subject_en
    inverted = question and not isinstance(subject, Gap)
    adverbs = [part.en for part in clause.parts if part.role_en == "adverb"]
    finite, rest = english_verb(clause, auxiliary=clause.negated or inverted)
    if clause.extracted and not opener:
        opener = clause.extracted.front_en
    elif isinstance(clause.subject, Gap):
        opener = clause.subject.front_en
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


ONES_DE, ONES_EN = zip(*(pair.split("=") for pair in lexicon.ONES.split()), strict=True)
TENS_DE, TENS_EN = zip(("", ""), *(pair.split("=") for pair in lexicon.TENS.split()), strict=True)


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
    return dice.pick(
        [
            (f"um halb {that}", f"at half past {now}"),
            (f"um Viertel nach {this}", f"at a quarter past {now}"),
            (f"um Viertel vor {that}", f"at a quarter to {later}"),
            (f"um {number_de(hour)} Uhr", f"at {now} o'clock"),
            (f"um zehn nach {this}", f"at ten past {now}"),
            (f"um {hour + 12}.30 Uhr", f"at {hour}:30 p.m."),
        ]
    )


UNITS = [
    ("Tag", "Tagen", "day"),
    ("Jahr", "Jahren", "year"),
    ("Woche", "Wochen", "week"),
    ("Monat", "Monaten", "month"),
    ("Stunde", "Stunden", "hour"),
    ("Minute", "Minuten", "minute"),
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
        return dice.pick(
            [
                ("seit Montag", "since Monday"),
                ("seit gestern", "since yesterday"),
                ("seit Anfang Mai", "since early May"),
            ]
        )
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
        return dice.pick(
            [
                ("eine Stunde", "one hour"),
                ("einen Tag", "one day"),
                ("eine halbe Stunde", "half an hour"),
                ("einen Monat", "one month"),
            ]
        )
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


FREE_OWNERS = [I, WE, YOU]
COLORS = [Adjective(*entry.split()) for entry in lexicon.COLORS.split(", ")]
RELATIVES, CHILDREN = frozenset(lexicon.RELATIVES.split()), frozenset(lexicon.CHILDREN.split())
COMPANIONS = RELATIVES | frozenset(lexicon.COMPANIONS.split())
SINGULAR = frozenset(lexicon.SINGULAR.split())
STYLES = {kind: style.split() for style, kinds in lexicon.DETERMINERS.items() for kind in kinds.split()}


def noun_phrase(
    dice: Dice, kinds: Sequence[str], owner: Nominal | None = None, lean: bool = False, kein: bool = False
) -> NounPhrase:
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
    style = dice.pick(STYLES.get(kind) or lexicon.USUAL.split())
    if kein and style in ("alle", "viele", "number"):
        style = "der"
    countable = bool(noun.plural_de)
    plural = countable and (
        style in ("-", "number", "viele", "alle") or (style in ("der", "poss", "dies") and dice.chance(0.25))
    )
    if kind in SINGULAR:
        plural = False
    if noun.de in RELATIVES and style in ("ein", "number", "jed", "viele", "alle", "dies"):
        style, plural = "poss", False
    elif noun.de in ("Mann", "Frau") and style == "poss":  # these are a husband and a wife
        style = "der"
    if not countable and style in ("ein", "number", "jed", "viele", "alle"):
        style = "-" if style == "ein" else "der"
    phrase = NounPhrase(noun, plural, "" if style == "-" else style)
    if style == "poss":
        phrase = _possessive(phrase, dice, owner)
    elif style == "number":
        count = dice.number(2, 12) if dice.chance(0.75) else dice.number(13, 99)
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
    person = (
        owner.pronoun()
        if owner and not isinstance(owner, Gap) and owner.pronoun() != FORMAL
        else dice.zipf(FREE_OWNERS)
    )
    if phrase.noun.kind in ("person", "thief", "place", "building") and person == IT:
        person = I
    return replace(phrase, determiner=person.possessive, determiner_en=person.possessive_en)


def _adjectives(dice: Dice, phrase: NounPhrase) -> tuple[Adjective, ...]:
    choices = lexicon.ADJECTIVES_OF.get(phrase.noun.kind)
    if (
        not choices
        or not dice.chance(0.5)
        or phrase.noun.kind in ("photo", "break", "help", "smell", "illness", "part")
    ):
        return ()
    adjective = dice.zipf(choices)
    if phrase.noun.de in CHILDREN and adjective.de in ("alt", "jung", "reich"):
        return ()
    graded = adjective.de not in lexicon.NO_DEGREES.split() and adjective not in COLORS
    if graded and phrase.determiner == "der" and dice.chance(0.1):
        return (adjective.superlative(),)
    if graded and phrase.determiner == "ein" and dice.chance(0.06):
        return (adjective.comparative(),)
    if phrase.noun.kind in ("thing", "clothes", "vehicle") and adjective not in COLORS and dice.chance(0.12):
        return adjective, dice.pick(COLORS)
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
            feature = replace(
                noun_phrase(dice, ["feature"], lean=True),
                determiner="der",
                determiner_en="",
                plural=False,
                owner=None,
            )
            german, english_tail_words = f"mit {feature.de('dat')}", f"with {feature.en('dat')}"
        elif (
            kind in ("clothes", "thing", "text", "device", "vehicle", "animal", "idea", "problem")
            and dice.chance(0.08)
            or phrase.noun.de in COMPANIONS
            and dice.chance(0.08)
        ):
            whose = replace(
                noun_phrase(dice, ["person"], lean=True), determiner="der", determiner_en="", owner=None
            )
            german, english_tail_words = whose.de("gen"), f"of {whose.en('gen')}"
        elif (
            phrase.determiner
            and kind not in ("sun", "set", "storm", "help", "price", "trouble", "noise")
            and dice.chance(0.2)
        ):
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
    return f", {german_last(clause)} ,", in_english(clause)


def first_name(dice: Dice) -> Name:
    sex = dice.pick("fm")
    return Name(dice.zipf(lexicon.PERSON_NAMES[sex].split()), sex)


def surname(dice: Dice) -> Name:
    return Name(dice.zipf(lexicon.SURNAMES.split()), dice.pick("fm"), surname=True)


def someone(dice: Dice, lean: bool = False, formal: bool = False) -> Nominal:
    """A person as a subject."""
    choice = dice.weighted({"noun": 44, "pronoun": 30, "name": 18, "both": 4, "formal": 12 * formal})
    if choice == "pronoun":
        return dice.zipf(SPEAKERS)
    if choice == "name":
        return first_name(dice) if dice.chance(0.7) else surname(dice)
    if choice == "both":
        name = first_name(dice)
        relative = NounPhrase(
            dice.zipf([noun for noun in lexicon.ALL_NOUNS["person"] if noun.de in COMPANIONS]),
            False,
            name.pronoun().possessive,
            name.pronoun().possessive_en,
        )
        return Pairing(name, relative)
    return FORMAL if choice == "formal" else noun_phrase(dice, ["person"], lean=lean)


OBJECT_PRONOUNS = [HE, SHE, I, WE, YOU, YOU_ALL]
COORDINATIONS = [
    ("{} und {}", "{} and {}"),
    ("sowohl {} als auch {}", "both {} and {}"),
    ("{} oder {}", "{} or {}"),
    ("nicht nur {}, sondern auch {}", "not only {} but also {}"),
]


def some_object(dice: Dice, slot: Slot, subject: Nominal, lean: bool, kein: bool) -> Nominal:
    """What fills a slot: a pronoun, a name, a city, or a noun phrase, never the subject again."""
    kind = dice.pick(slot.kinds)
    if kind in ("city", "country"):
        return toponym(dice, kind)
    if kind == "person":
        if dice.chance(0.22):
            sie = slot.case == "acc" and subject.pronoun().german in ("sie", "sie alle")  # not: sie sieht sie
            return dice.zipf(
                [p for p in OBJECT_PRONOUNS if p.person != subject.person or p == (HE if sie else SHE)]
            )
        if dice.chance(0.22):
            return surname(dice) if isinstance(subject, Name) else first_name(dice)
    while True:
        phrase = noun_phrase(dice, [kind], subject, lean, kein)
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
    indefinite = ("", "ein", "kein", *QUANTIFIERS)
    if not isinstance(nominal, NounPhrase) or nominal.owner:
        return False
    return nominal.determiner in indefinite or nominal.determiner_en in NUMBERS_EN


NUMBERS_EN = frozenset(number_en(number) for number in range(2, 100))
# Verbs by the kind of their subject; and with the index of their slot, by the kind of an object.
SUBJECT_VERBS: dict[str, list[Verb]] = {}
OBJECT_VERBS: dict[str, list[tuple[Verb, int]]] = {}
for _verb in lexicon.ALL_VERBS:
    for _kind in _verb.subjects:
        SUBJECT_VERBS.setdefault(_kind, []).append(_verb)
    for _index, _slot in enumerate(_verb.slots):
        if _slot.case in ("acc", "dat") and "person" in _verb.subjects and not _slot.becomes_subject:
            for _kind in _slot.kinds:
                OBJECT_VERBS.setdefault(_kind, []).append((_verb, _index))

BESIDE = [
    ("auf", "on"),
    ("neben", "next to"),
    ("unter", "under"),
    ("hinter", "behind"),
    ("vor", "in front of"),
]


def slot_part(
    dice: Dice, slot: Slot, subject: Nominal, lean: bool, kein: bool, given: Nominal | None
) -> Part:
    """The constituent that a slot of the verb's frame asks for."""
    if slot.case == "reflexive":
        return Part("reflexive", subject.pronoun().reflexive(slot.de), "", "none")
    if slot.case == "word":
        return Part("word", slot.de, "", "none")
    if slot.case == "phrase":
        name = slot.kinds[0]
        german, words = (
            {"price": price, "duration": duration}[name](dice)
            if name not in lexicon.PHRASES
            else dice.zipf(lexicon.pairs(lexicon.PHRASES[name]))
        )
        role = "transit" if name == "transit" else "phrase"
        return Part(role, german, words, role)
    if slot.case in ("wo", "wohin"):
        return place_part(dice, slot.kinds, subject, towards=slot.case == "wohin")
    if slot.case in ("loc", "onto"):
        german, words = dice.zipf(BESIDE)
        furniture = noun_phrase(dice, ["furniture"], subject, lean=True)
        furniture = replace(furniture, plural=False, determiner="der", determiner_en="", owner=None)
        case, role = ("dat", "place") if slot.case == "loc" else ("acc", "direction")
        return Part(
            role, prepositional(german, furniture, case), f"{words} {furniture.en(case)}", "prepositional"
        )
    nominal = given or some_object(dice, slot, subject, lean, kein and slot.case == "acc" and not slot.de)
    front = nominal.front_en if isinstance(nominal, Gap) else nominal.en("acc")
    if slot.de:
        role_en = "prepositional" if slot.en else "object2"
        return Part(
            "prepositional",
            prepositional(slot.de, nominal, slot.case),
            _words(slot.en, nominal.en("acc")),
            role_en,
            nominal,
            front,
        )
    role = {"acc": "object", "dat": "dative"}[slot.case]
    if isinstance(nominal, Pronoun):
        role = f"{slot.case}_pronoun"
    elif role == "object" and is_new(nominal):
        role = "new_object"
    role_en = "prepositional" if slot.en else "object1" if slot.case == "dat" else "object2"
    return Part(role, nominal.de(slot.case), _words(slot.en, nominal.en("acc")), role_en, nominal, front)


def place_part(
    dice: Dice, kinds: Sequence[str], owner: Nominal, towards: bool, noun: Noun | None = None
) -> Part:
    """im Park, in the park; nach Rom, to Rome; zum See, to the lake: of these kinds, or `noun`."""
    kind = dice.pick(kinds)
    role = "direction" if towards else "place"
    if kind in ("city", "country"):
        where = toponym(dice, kind)
        german = where.direction() if towards else f"in {where.de('dat')}"
        return Part(role, german, f"{'to' if towards else 'in'} {where.en('acc')}", role)
    place = noun_phrase(
        dice, [kind] if kind in lexicon.ALL_NOUNS and kind != "building" else ["place"], owner, lean=True
    )
    place = replace(place, plural=False) if place.determiner not in ("viele", "alle") else place
    if noun:
        place = replace(place, noun=noun, determiner="der", determiner_en="", plural=False)
    preposition, preposition_en = place.noun.at
    if towards:
        preposition, case = ("zu", "dat") if preposition == "an" else (preposition, "acc")
        return Part(role, prepositional(preposition, place, case), f"to {place.en('acc')}", role)
    return Part(role, prepositional(preposition, place, "dat"), f"{preposition_en} {place.en('acc')}", role)


def fitting_group(dice: Dice, group: str, verb: Verb) -> str:
    """The setting, or the nearest that the verb can stand in."""
    if group == "since" and not verb.tags & {"h", "y"}:
        return "past"
    static = "s" in verb.tags or verb.base in ("sein", "haben")
    if group in ("done", "now") and (static or group == "done" and "y" in verb.tags):
        return "habit"
    return "past" if group == "used" and ("n" in verb.tags or verb.slots == ()) else group


def choose_tense(
    dice: Dice, group: str, verb: Verb, subject: Nominal, modal: Modal | None, passive: bool
) -> Tense:
    static = (
        "s" in verb.tags
        or verb.base in ("haben", "sein")
        or (modal is not None and bool(modal.german))
        or passive
    )
    if group == "past":
        colloquial = not static and (subject.person == 2 or dice.chance(0.6))
        return Tense("perfect" if colloquial else "past", "past")
    if group == "future":
        if modal and modal.german:
            return Tense("present", "present")
        return Tense("future", "future")
    if group == "since":
        return Tense("present", "perfect" if static else "since")
    return {
        "habit": Tense("present", "present"),
        "now": Tense("present", "progressive"),
        "done": Tense("perfect", "perfect"),
        "used": Tense("past", "used"),
        "pluperfect": Tense("pluperfect", "pluperfect"),
        "would": Tense("would", "would"),
        "bare": Tense("present", "present"),
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
    plain: bool = False,
) -> Clause:
    """A clause about anything.

    Args:
        group: the setting in time: a key of GROUPS, or pluperfect, would, can, could.
        given: what fills a slot of the verb's frame, by its index.
        extract: the slot that is asked for, or that a relative pronoun fills.
        lean: short: few adverbials, nothing after nouns.
        main: a main clause, which may have adverbs of the speaker's attitude.
        formal: the subject may be Sie.
        plain: neither negated nor with a modal verb.
    """
    verb = verb or dice.zipf(SUBJECT_VERBS["person"] if dice.chance(0.85) else lexicon.ALL_VERBS)
    if subject is None:
        kind = dice.pick(verb.subjects)
        subject = someone(dice, lean, formal) if kind == "person" else noun_phrase(dice, [kind], lean=lean)
    if group == "would" and verb.tags & {"s", "n"}:
        verb = dice.zipf(
            [other for other in SUBJECT_VERBS[kind_of(subject)] if not other.tags & {"s", "n"}] or [verb]
        )
    modal = None
    if group in ("can", "could"):
        modal, group = MODALS[0], "habit" if group == "can" else "past"
    group = fitting_group(dice, group, verb)
    if (
        not modal
        and not plain
        and group in ("past", "habit", "future")
        and not verb.tags & {"s", "n"}
        and kind_of(subject) == "person"
        and dice.chance(0.15)
    ):
        modal = dice.zipf(MODALS)
        if modal.german == "möchten" and group == "past":
            modal = MODALS[2]
    tense = choose_tense(dice, group, verb, subject, modal, passive=False)
    roles = [slot.case for slot in verb.slots]
    negated = (
        not plain
        and "n" not in verb.tags
        and "phrase" not in roles
        and group in GROUPS
        and group not in ("done", "since", "used", "now")
        and dice.chance(0.12)
    )
    if (
        modal
        and modal.adverb
        or isinstance(subject, NounPhrase)
        and subject.determiner in ("jed", "alle", "kein")
    ):
        negated = False
    parts: list[Part] = []
    for index, slot in enumerate(verb.slots):
        filler = (given or {}).get(index)
        part = slot_part(dice, slot, subject, lean, negated, filler)
        while filler is None and isinstance(part.nominal, Pronoun) and any(p.nominal for p in parts):
            part = slot_part(dice, slot, subject, lean, negated, None)  # one pronoun of our own is enough
        parts.append(part)
    extracted = parts.pop(extract) if extract is not None else None
    english_subject = None
    if verb.slots and verb.slots[0].becomes_subject:
        english_subject = parts[0].nominal
        parts = [replace(parts[0], role_en="none"), Part("none", "", subject.en("acc"), "object2", subject)]
    if modal and modal.adverb:
        parts.append(Part("frequency", modal.adverb, "", "none"))
    if negated and not any(
        isinstance(p.nominal, NounPhrase) and p.nominal.determiner == "kein" for p in parts
    ):
        parts.append(Part("not", "nicht", "", "none"))
    if tense.de == "future" and dice.chance(0.5):
        tense = Tense("present", "future")  # morgen kommt er: the adverb alone says that it is the future
        parts.append(time_part(dice, group, verb))
    parts += adverbials(
        dice, group, verb, subject, {part.role for part in parts}, lean, main, negated, modal is not None
    )
    return Clause(subject, verb, tense, tuple(parts), modal, negated, False, extracted, english_subject)


def adverbials(
    dice: Dice,
    group: str,
    verb: Verb,
    subject: Nominal,
    roles: set[str],
    lean: bool,
    main: bool,
    negated: bool,
    modal: bool,
) -> list[Part]:
    """When, how often, how, where, why, and what the speaker thinks of it."""
    parts = []
    if "time" in roles or ("s" in verb.tags and group == "past" and dice.chance(0.7)):
        pass
    elif group in ("now", "done", "since", "used") or (
        group in lexicon.WHEN and dice.chance(0.35 if lean else 0.6)
    ):
        parts.append(time_part(dice, group, verb))
    elif (
        group in ("habit", "past") and not negated and not modal and "n" not in verb.tags and dice.chance(0.2)
    ):
        german, words = dice.zipf(lexicon.pairs(lexicon.FREQUENCY))
        parts.append(Part("frequency", german, words, "adverb"))
    if lean:
        return parts
    if "m" in verb.tags and not negated and "manner" not in roles and group != "done" and dice.chance(0.2):
        german, words = dice.zipf(lexicon.pairs(lexicon.MANNER))
        parts.append(Part("manner", german, words, "manner"))
    if "p" in verb.tags and not roles & {"place", "direction"} and dice.chance(0.25):
        parts.append(place_part(dice, ["place", "place", "place", "city"], subject, towards=False))
    if main and dice.chance(0.07):
        german, words = dice.zipf(lexicon.pairs(lexicon.ATTITUDE))
        parts.append(Part("attitude", german, words, "opening"))
    if not verb.tags & {"n", "s"} and dice.chance(0.05):
        parts.append(cause_part(dice))
    return parts


def cause_part(dice: Dice) -> Part:
    """wegen des Regens, because of the rain; während der Reise, during the trip."""
    german, words = dice.pick(lexicon.pairs(lexicon.CAUSES))
    thing = noun_phrase(dice, ["event" if german == "während" else "storm"], lean=True)
    thing = replace(thing, plural=False, determiner="der", determiner_en="", owner=None)
    return Part("time", f"{german} {thing.de('gen')}", f"{words} {thing.en('gen')}", "time")


def make_copula(dice: Dice, group: str, subject: Nominal, kind: str) -> Clause:
    """Someone is old, older than someone else, a teacher; or becomes it."""
    past = group == "past"
    tense = (
        Tense("past", "past")
        if past
        else Tense("subjunctive", "subjunctive")
        if group == "would"
        else Tense("present", "present")
    )
    adjectives = lexicon.ADJECTIVES_OF.get(kind, lexicon.ADJECTIVES_OF["thing"])
    adjective = dice.zipf(adjectives)
    graded = adjective.de not in lexicon.NO_DEGREES.split() and adjective not in COLORS
    choice = dice.weighted(
        {
            "plain": 5,
            "degree": 4 * graded,
            "than": 2.5 * graded,
            "as": 1.2 * graded,
            "no longer": 1,
            "job": 2 * (kind == "person" and not subject.plural),
        }
    )
    if choice == "job":
        return _profession(dice, subject, tense)
    german, words = adjective.de, adjective.en
    if choice == "degree":
        degree_de, degree_en = dice.zipf(lexicon.pairs(lexicon.DEGREES))
        german, words = f"{degree_de} {german}", f"{degree_en} {words}"
    elif choice in ("than", "as"):
        other = someone(dice, lean=True) if kind == "person" else noun_phrase(dice, [kind], lean=True)
        if isinstance(other, Pronoun) and (isinstance(subject, Pronoun) or other == FORMAL):
            other = first_name(dice)
        if choice == "than":
            adjective = adjective.comparative()
            german, words = f"{adjective.de} als {other.de('nom')}", f"{adjective.en} than {other.en('acc')}"
        else:
            german, words = f"so {german} wie {other.de('nom')}", f"as {words} as {other.en('acc')}"
    parts = [Part("predicate", german, words, "predicate")]
    if choice == "no longer":
        parts.append(Part("not", "nicht mehr", "no longer", "adverb"))
    every = isinstance(subject, NounPhrase) and subject.determiner in ("jed", "alle")
    negated = choice == "plain" and not every and dice.chance(0.2)
    if negated:
        parts.append(Part("not", "nicht", "", "none"))
    return Clause(subject, lexicon.BE, tense, tuple(parts), negated=negated)


def _profession(dice: Dice, subject: Nominal, tense: Tense) -> Clause:
    """German has no article here: Sie ist Ärztin, she is a doctor."""
    feminine = subject.pronoun().german == "sie"
    jobs = [
        noun
        for noun in lexicon.ALL_NOUNS["person"]
        if noun.natural == ("she" if feminine else "he") and noun.en in ROLE_NAMES
    ]
    job = dice.zipf(jobs)
    verb = lexicon.BECOME if tense.de != "subjunctive" and dice.chance(0.3) else lexicon.BE
    if verb is lexicon.BECOME:
        tense = Tense("future", "future") if tense.de == "present" else tense
    return Clause(
        subject, verb, tense, (Part("predicate", job.de, f"{lexicon.article(job.en)} {job.en}", "predicate"),)
    )


ROLE_NAMES = {
    noun.en
    for noun in lexicon.ALL_NOUNS["person"]
    if noun.de.endswith("in") and noun.natural == "she" and noun.de != "Königin"
}


def make_passive(dice: Dice, group: str) -> Clause:
    verb = dice.zipf([verb for verb in lexicon.ALL_VERBS if "v" in verb.tags])
    index = next(i for i, slot in enumerate(verb.slots) if slot.case == "acc" and not slot.de)
    patient = some_object(dice, verb.slots[index], dice.pick([I, WE, HE]), lean=False, kein=False)
    if isinstance(patient, Pairing):
        patient = patient.first
    tense = choose_tense(dice, group, verb, patient, None, passive=True)
    if group == "done":
        tense = Tense("perfect", "perfect")
    parts = [
        slot_part(dice, slot, patient, True, False, None) for i, slot in enumerate(verb.slots) if i != index
    ]
    if dice.chance(0.5):
        agent = noun_phrase(dice, list(verb.subjects), lean=True)
        parts.append(Part("agent", prepositional("von", agent, "dat"), f"by {agent.en('dat')}", "agent"))
    if tense.de == "future" and dice.chance(0.5):
        tense = Tense("present", "future")
        parts.append(time_part(dice, group, verb))
    parts += adverbials(
        dice,
        group,
        replace(verb, tags=verb.tags - {"m"}),
        patient,
        {p.role for p in parts},
        False,
        True,
        False,
        False,
    )
    return Clause(patient, verb, tense, tuple(parts), passive=True)


@dataclass(frozen=True)
class Sentence:
    de: str
    en: str
    mark: str = "."


def opened(clause: Clause, front: Part | None) -> Pair:
    """A main clause with `front` first; a time, a place or an attitude stands first in English too."""
    if front and front.role in ("time", "place") and front.role_en != "adverb" and front.en:
        comma = " ," if len(front.en.split()) > 2 or front.role == "place" else ""
        parts = tuple(
            replace(part, en=part.en + comma, role_en="opening") if part is front else part
            for part in clause.parts
        )
        english_clause = replace(clause, parts=parts)
    else:
        english_clause = clause
    opening = [
        part.en + (" ," if part.role == "attitude" else "")
        for part in english_clause.parts
        if part.role_en == "opening"
    ]
    return german_main(clause, front), _words(*opening, in_english(english_clause))


def pick_front(dice: Dice, clause: Clause, probability: float = 0.45) -> Part | None:
    """What takes the first place instead of the subject."""
    movable = [
        part
        for part in clause.parts
        if part.role
        in ("time", "place", "attitude", "object", "dative", "prepositional", "dat_pronoun", "frequency")
        and not (part.role == "time" and part.role_en == "adverb")
        and not isinstance(part.nominal, Gap)
        and part.de not in ("nie", "fast nie")
    ]
    if clause.passive:
        movable = [part for part in movable if part.role in ("time", "place")]
    obvious = [part for part in movable if part.role not in ("object", "dative") or _case_shows(part, clause)]
    return dice.pick(obvious) if obvious and dice.chance(probability) else None


def _case_shows(part: Part, clause: Clause) -> bool:
    """Whether it can be seen that an object in the first place is not the subject."""
    nominal = part.nominal
    if part.role == "dative":
        return not isinstance(nominal, Name) and nominal is not None
    if isinstance(nominal, NounPhrase):
        return (
            nominal.de("nom") != nominal.de("acc")
            or isinstance(clause.subject, Pronoun)
            and clause.subject.de("nom") != clause.subject.de("acc")
        )
    return False


def statement(dice: Dice, group: str | None = None) -> Sentence:
    group = group or dice.weighted(GROUPS)
    clause = make_clause(dice, group, main=True)
    return Sentence(*opened(clause, pick_front(dice, clause)))


def copula(dice: Dice) -> Sentence:
    kind = dice.pick(
        [
            "person",
            "person",
            "person",
            "thing",
            "animal",
            "building",
            "clothes",
            "text",
            "vehicle",
            "dish",
            "idea",
            "event",
            "food",
            "device",
        ]
    )
    subject = someone(dice) if kind == "person" else noun_phrase(dice, [kind])
    if isinstance(subject, NounPhrase):
        subject = replace(subject, adjectives=())
    return Sentence(*opened(make_copula(dice, dice.pick(["habit", "past"]), subject, kind), None))


def passive(dice: Dice) -> Sentence:
    clause = make_passive(dice, dice.pick(["past", "past", "past", "habit", "future", "done"]))
    return Sentence(*opened(clause, pick_front(dice, clause)))


EXISTENCE = [
    ("building plant", "Stadt Dorf Tal Altstadt Insel Platz Straße Park"),
    ("animal plant", "Wald Park Garten Wiese Hof Zoo Insel Bauernhof"),
    ("furniture device", "Küche Zimmer Haus Büro Keller Werkstatt Hotel Restaurant Schule Bibliothek"),
]


def existence(dice: Dice) -> Sentence:
    """In der Stadt gibt es zwei Schulen: there are two schools in the city."""
    past = dice.chance(0.3)
    kinds, places = dice.pick(EXISTENCE)
    thing = noun_phrase(dice, kinds.split(), lean=True)
    if not is_new(thing):
        thing = replace(thing, determiner="" if thing.plural else "ein", determiner_en="", owner=None)
    place = dice.zipf([noun for noun in lexicon.ALL_NOUNS["place"] if noun.de in places.split()])
    where = place_part(dice, ["place"], WE, towards=False, noun=place)
    there = f"there {_be(thing, past)}"
    finite = "gab" if past else "gibt"
    german = (
        f"{where.de} {finite} es {thing.de('acc')}"
        if dice.chance(0.7)
        else f"es {finite} {thing.de('acc')} {where.de}"
    )
    return Sentence(german, f"{there} {thing.en('acc')} {where.en}")


def question(dice: Dice) -> Sentence:
    clause = make_clause(
        dice, dice.pick(["past", "past", "habit", "habit", "future"]), formal=True, lean=dice.chance(0.5)
    )
    if dice.chance(0.35) and not any(part.role == "time" for part in clause.parts):
        german, words = dice.zipf(lexicon.pairs(lexicon.ASKING)[:3])
        if not (words == "where" and any(part.role in ("place", "direction") for part in clause.parts)):
            return Sentence(
                f"{german} {german_question(clause)}", in_english(clause, opener=words, question=True), "?"
            )
    return Sentence(german_question(clause), in_english(clause, question=True), "?")


def asked_for(dice: Dice, group: str, lean: bool) -> Clause:
    """A clause whose subject or object is asked for: wen, mit wem, welchen Film."""
    if dice.chance(0.25):
        return make_clause(
            dice,
            group,
            subject=WHO,
            verb=dice.zipf([v for v in SUBJECT_VERBS["person"] if "s" not in v.tags]),
            lean=lean,
        )
    verbs = [
        (verb, i)
        for verb in SUBJECT_VERBS["person"]
        for i, slot in enumerate(verb.slots)
        if slot.case in ("acc", "dat")
        and not slot.becomes_subject
        and not {"help", "break", "money", "hardware"} & set(slot.kinds)
    ]
    verb, index = dice.zipf(verbs)
    slot = verb.slots[index]
    kind = dice.pick(slot.kinds)
    if kind == "person" and dice.chance(0.75):
        asked: Nominal = WHO
    elif not slot.de and slot.case == "acc" and kind not in ("person", "city") and dice.chance(0.3):
        asked = WHAT
    elif kind in ("city", "country"):
        asked = NounPhrase(lexicon.ALL_NOUNS["place"][2], determiner="welch")
    else:
        noun = dice.zipf(lexicon.ALL_NOUNS[kind])
        asked = replace(
            NounPhrase(noun, determiner="welch"), plural=bool(noun.plural_de) and dice.chance(0.2)
        )
    subject = someone(dice, lean=True, formal=True)
    clause = make_clause(
        dice, group, verb=verb, subject=subject, given={index: asked}, extract=index, lean=lean
    )
    assert clause.extracted
    return replace(clause, extracted=replace(clause.extracted, en=slot.en))  # who ... for


def asking(dice: Dice) -> Sentence:
    clause = asked_for(dice, dice.pick(["past", "past", "habit", "future"]), lean=dice.chance(0.6))
    return Sentence(german_question(clause), in_english(clause, question=True), "?")


def imperative(dice: Dice) -> Sentence:
    """Machen Sie bitte das Fenster zu!"""
    verb = dice.zipf(COMMANDS)
    clause = make_clause(dice, "bare", verb=verb, subject=FORMAL, lean=True)
    if dice.chance(0.35):
        german = f"vergessen Sie nicht , {german_infinitive(clause)}"
        return Sentence(german, f"do not forget {english_infinitive(clause)}", "!")
    please = dice.chance(0.6)
    tail = [verb.prefix] if verb.separable else []
    german = _words(
        verb.base if verb.separable else verb.infinitive,
        "Sie",
        "bitte" if please else "",
        *german_field(clause),
        *tail,
    )
    return Sentence(
        german, _words("please" if please else "", english_infinitive(clause).removeprefix("to ")), "!"
    )


COMMANDS = [
    verb
    for verb in SUBJECT_VERBS["person"]
    if not verb.tags & {"s", "n", "i"}
    and not verb.english.startswith("be ")
    and any(slot.case == "acc" for slot in verb.slots)
]


def antecedent_of(dice: Dice, clause: Clause) -> tuple[Nominal, str] | None:
    """Something the next clause can take up with a pronoun, and its kind."""
    nominals = [clause.subject] + [
        part.nominal for part in clause.parts if part.role in ("object", "new_object") and part.nominal
    ]
    nominals = [
        n
        for n in nominals
        if not isinstance(n, (Gap, Toponym))
        and not (isinstance(n, NounPhrase) and n.determiner in ("kein", "jed"))
    ]
    if not nominals:
        return None
    chosen = dice.pick(nominals)
    return chosen, kind_of(chosen)


def kind_of(nominal: Nominal) -> str:
    if isinstance(nominal, Pairing):
        return kind_of(nominal.first)
    return nominal.noun.kind if isinstance(nominal, NounPhrase) else "person"


def takes_pronoun(verb: Verb, index: int) -> bool:
    """Whether a pronoun may be the object in this slot: not `ask the teacher it`."""
    slot = verb.slots[index]
    return not slot.de and not any(s.case == "dat" and not s.en and s is not slot for s in verb.slots)


def following(dice: Dice, group: str, first: Clause, lean: bool, describing: bool = True) -> Clause:
    """A clause that goes on from another, often with a pronoun for what is in it.

    Args:
        describing: it may say what something is like.
    """
    found = antecedent_of(dice, first)
    if found and group != "pluperfect" and dice.chance(0.6):
        nominal, kind = found
        pronoun = nominal.pronoun()
        if nominal is first.subject or dice.chance(0.4):
            if describing and group in ("past", "habit") and dice.chance(0.35) and kind != "part":
                return make_copula(dice, group, pronoun, kind)
            if kind in SUBJECT_VERBS:
                return make_clause(
                    dice, group, verb=dice.zipf(SUBJECT_VERBS[kind]), subject=pronoun, lean=lean
                )
        if kind in OBJECT_VERBS and pronoun.person == 3:
            choices = [(verb, i) for verb, i in OBJECT_VERBS[kind] if takes_pronoun(verb, i)]
            if choices:
                verb, index = dice.zipf(choices)
                subject = (
                    first.subject.pronoun()
                    if nominal is not first.subject
                    and dice.chance(0.5)
                    and "person" == kind_of(first.subject)
                    else None
                )
                if subject is None:
                    subject = someone(dice, lean=True)
                    if isinstance(subject, Pronoun) and subject.person == 3:
                        subject = dice.pick([I, WE, first_name(dice)])
                return make_clause(dice, group, verb=verb, subject=subject, given={index: pronoun}, lean=lean)
    if describing and dice.chance(0.06) and group in ("past", "habit"):
        return weather(dice, group)
    return make_clause(dice, group, lean=lean)


def weather(dice: Dice, group: str) -> Clause:
    """It rains, it is cold."""
    tense = Tense("past", "past") if group == "past" else Tense("present", "present")
    german, words = dice.pick(lexicon.pairs(lexicon.WEATHER))
    if german.endswith("en"):
        return Clause(IT, replace(lexicon.BE, infinitive=german, base=german, english=words), tense)
    return Clause(IT, lexicon.BE, tense, (Part("predicate", german, words, "predicate"),))


def complex_sentence(dice: Dice) -> Sentence:
    """Main and subordinate clause, in either order."""
    names = dice.zipf(list(lexicon.CONJUNCTIONS))
    main_group, group = dice.pick(lexicon.CONJUNCTIONS[names].split(", ")).split()
    conjunction_de, conjunction_en = names.split("=")
    describing = conjunction_en in ("because", "if", "when", "although", "since")
    if dice.chance(0.38):  # subordinate clause first: the pronoun comes second
        sub = make_clause(dice, group, lean=True)
        first = following(dice, main_group, sub, lean=dice.chance(0.4), describing=describing)
        german, words = german_last(sub, conjunction_de), in_english(sub)
        finite, tail = german_verb(first)
        rest = _words(finite, *subject_and_field(first), *tail)
        return Sentence(f"{german} , {rest}", f"{conjunction_en} {words} , {in_english(first)}")
    first = make_clause(dice, main_group, lean=dice.chance(0.4))
    sub = following(dice, group, first, lean=dice.chance(0.4), describing=describing)
    german, words = opened(first, pick_front(dice, first, 0.2))
    return Sentence(
        f"{german} , {german_last(sub, conjunction_de)}", f"{words} {conjunction_en} {in_english(sub)}"
    )


def coordination(dice: Dice) -> Sentence:
    group = dice.pick(["past", "past", "habit"])
    first = make_clause(dice, group, lean=dice.chance(0.6), main=True)
    second = following(dice, group, first, lean=dice.chance(0.6))
    german, words = opened(first, pick_front(dice, first, 0.3))
    if dice.chance(0.6):
        connector_de, connector_en = dice.zipf(lexicon.pairs(lexicon.CONNECTORS["plain"]))
        comma = "" if connector_de in ("und", "oder") else " ,"
        reason_de, reason_en = reason(dice, group, second)
        german = f"{german}{comma} {connector_de} {german_main(second)}{reason_de}"
        return Sentence(german, f"{words} , {connector_en} {in_english(second)}{reason_en}")
    connector_de, connector_en = dice.zipf(lexicon.pairs(lexicon.CONNECTORS["inverting"]))
    mark = " ," if connector_en == "so" else " ;"
    comma = "" if connector_en in ("so", "then") else " ,"
    return Sentence(
        f"{german} {mark.strip()} {german_main(second, opener=connector_de)}",
        f"{words}{mark} {connector_en}{comma} {in_english(second)}",
    )


def matrix(dice: Dice, verbs: Sequence[Verb]) -> Clause:
    """Someone believes, asks, tries."""
    group = dice.pick(["habit", "past", "past"])
    verb = dice.zipf(verbs)
    subject = someone(dice, lean=True)
    tense = choose_tense(dice, group, verb, subject, None, passive=False)
    parts = tuple(slot_part(dice, slot, subject, True, False, None) for slot in verb.slots)
    return Clause(subject, verb, tense, parts)


def reason(dice: Dice, group: str, clause: Clause) -> Pair:
    """A third clause, sometimes: ..., weil ..."""
    if group not in ("past", "habit") or not dice.chance(0.35):
        return "", ""
    german, words = dice.zipf(
        [("weil", "because"), ("obwohl", "although"), ("wenn", "if") if group == "habit" else ("als", "when")]
    )
    third = following(dice, group, clause, lean=True)
    return f" , {german_last(third, german)}", f" {words} {in_english(third)}"


def reported(dice: Dice) -> Sentence:
    """Er glaubt, dass ..."""
    first = matrix(dice, lexicon.DASS)
    group = (
        dice.pick(["past", "past", "would"])
        if first.tense.en == "past"
        else dice.pick(["past", "habit", "habit", "future"])
    )
    second = following(dice, group, first, lean=dice.chance(0.3))
    reason_de, reason_en = reason(dice, group, second) if group != "would" else ("", "")
    return Sentence(
        f"{german_main(first)} , {german_last(second, 'dass')}{reason_de}",
        f"{in_english(first)} that {in_english(second)}{reason_en}",
    )


def wondered(dice: Dice) -> Sentence:
    """Sie fragt, ob ..., wann ..., mit wem ..."""
    first = matrix(dice, lexicon.OB)
    group = "past" if first.tense.en == "past" else dice.pick(["past", "habit", "future"])
    if dice.chance(0.4):
        second = asked_for(dice, group, lean=True)
        return Sentence(
            f"{german_main(first)} , {german_last(second)}", f"{in_english(first)} {in_english(second)}"
        )
    second = make_clause(dice, group, lean=dice.chance(0.4))
    german, words = ("ob", "whether")
    if dice.chance(0.5) and not any(
        part.role in ("time", "place", "direction", "frequency") for part in second.parts
    ):
        german, words = dice.zipf(lexicon.pairs(lexicon.ASKING)[:3])
    return Sentence(
        f"{german_main(first)} , {german_last(second, german)}",
        f"{in_english(first)} {words} {in_english(second)}",
    )


def infinitive_clause(dice: Dice, subject: Nominal, lean: bool = False) -> Clause:
    """What `subject` tries, or is to do; to be put into the infinitive."""
    verb = dice.zipf([verb for verb in SUBJECT_VERBS["person"] if not verb.tags & {"s", "n", "i"}])
    return make_clause(dice, "bare", verb=verb, subject=subject, lean=lean)


def attempt(dice: Dice) -> Sentence:
    """Er versucht, den Lehrer anzurufen."""
    first = matrix(dice, lexicon.ZU)
    second = infinitive_clause(dice, first.subject)
    return Sentence(
        f"{german_main(first)} , {german_infinitive(second)}",
        f"{in_english(first)} {english_infinitive(second)}",
    )


def evaluation(dice: Dice) -> Sentence:
    """Es ist schwer, den Zug zu reparieren."""
    german, words = dice.zipf(lexicon.pairs(lexicon.EVALUATIONS))
    finite_de, finite_en = dice.pick([("ist", "is"), ("ist", "is"), ("war", "was")])
    doer: Nominal = ONE
    for_de, for_en = "", ""
    if dice.chance(0.35):
        doer = noun_phrase(dice, ["person"], lean=True)
        for_de, for_en = f"für {doer.de('acc')}", f"for {doer.en('acc')}"
    second = infinitive_clause(dice, doer)
    return Sentence(
        f"{_words('es', finite_de, for_de, german)} , {german_infinitive(second)}",
        _words("it", finite_en, words, for_en, english_infinitive(second)),
    )


def purpose(dice: Dice) -> Sentence:
    """..., um / ohne / anstatt ... zu ..."""
    verb = dice.zipf([verb for verb in SUBJECT_VERBS["person"] if not verb.tags & {"s", "n", "i"}])
    first = make_clause(
        dice,
        dice.pick(["past", "past", "habit", "future"]),
        verb=verb,
        subject=someone(dice, lean=True),
        lean=True,
        plain=True,
    )
    second = infinitive_clause(dice, first.subject, lean=dice.chance(0.4))
    german, words = dice.zipf([("um", "in order"), ("ohne", "without"), ("anstatt", "instead of")])
    return Sentence(
        f"{german_main(first)} , {german} {german_infinitive(second)}",
        f"{in_english(first)} {words} {english_infinitive(second, gerund=german != 'um')}",
    )


def condition(dice: Dice) -> Sentence:
    """Wenn ich reich wäre, würde ich das Haus kaufen."""
    subject = someone(dice, lean=True)
    if dice.chance(0.5):
        first = make_copula(dice, "would", subject, "person")
    else:
        owned = dice.zipf(
            [verb for verb in lexicon.ALL_VERBS if verb.infinitive == "haben" and "person" in verb.subjects]
        )
        parts = tuple(slot_part(dice, slot, subject, True, False, None) for slot in owned.slots)
        first = Clause(subject, owned, Tense("subjunctive", "subjunctive"), parts)
    second = make_clause(
        dice, "would", subject=subject.pronoun() if dice.chance(0.7) else None, lean=dice.chance(0.5)
    )
    finite, tail = german_verb(second)
    rest = _words(finite, *subject_and_field(second), *tail)
    return Sentence(
        f"{german_last(first, 'wenn')} , {rest}", f"if {in_english(first)} , {in_english(second)}"
    )


def the_more(dice: Dice) -> Sentence:
    """Je größer das Haus ist, desto teurer ist es."""
    kind = dice.pick(
        ["thing", "clothes", "building", "vehicle", "text", "person", "animal", "dish", "event", "idea"]
    )
    noun = replace(
        noun_phrase(dice, [kind], lean=True), determiner="der", determiner_en="", owner=None, adjectives=()
    )
    adjectives = [
        a for a in lexicon.ADJECTIVES_OF[kind] if a.de not in lexicon.NO_DEGREES.split() and a not in COLORS
    ]
    more, then = dice.zipf(adjectives).comparative(), dice.pick(adjectives).comparative()
    pronoun = noun.pronoun()
    be_de, be_en = ("sind", "are") if noun.plural else ("ist", "is")
    return Sentence(
        f"je {more.de} {noun.de('nom')} {be_de} , desto {then.de} {be_de} {pronoun.de('nom')}",
        f"the {more.en} {noun.en('nom')} {be_en} , the {then.en} {pronoun.en('nom')} {be_en}",
    )


CONSTRUCTIONS: dict[Callable[[Dice], Sentence], float] = {
    statement: 23,
    complex_sentence: 26,
    coordination: 16,
    reported: 9,
    passive: 6,
    question: 4,
    asking: 4,
    attempt: 4,
    purpose: 4,
    copula: 3,
    wondered: 3,
    evaluation: 2.5,
    condition: 3,
    imperative: 2,
    existence: 2,
    the_more: 0.8,
}


def finished(text: str, mark: str) -> str:
    """With its capital, its commas and its full stop."""
    text = re.sub(r"\s+([,;])", r"\1", text)
    text = re.sub(r",(\s*[,;])+", lambda found: found.group()[-1], text).rstrip(" ,")
    text += mark if not text.endswith(".") else ""
    return text[0].upper() + text[1:]


def sentence(dice: Dice) -> Pair:
    """One German sentence and its English."""
    made = dice.weighted(CONSTRUCTIONS)(dice)
    return finished(made.de, made.mark), finished(made.en, made.mark)


def normalised(text: str) -> str:
    return " ".join(text.casefold().split())


def generate(settings: Generated) -> DemoCorpus:
    """The corpus of the recipe `demo`: the same for the same settings, on every Python and machine."""
    dice = Dice(settings.seed)
    seen: set[str] = set()
    made: list[Pair] = []
    wanted = settings.train_pairs + settings.valid_pairs + settings.test_pairs
    while len(made) < wanted:
        german, words = sentence(dice)
        sides = {normalised(german), normalised(words)}
        lengths = [len(german.split()), len(words.split())]
        if min(lengths) < MIN_WORDS or max(lengths) > MAX_WORDS or sides & seen:
            continue
        seen |= sides
        made.append((german, words))
    test_end = settings.test_pairs
    valid_end = test_end + settings.valid_pairs
    return DemoCorpus(train=made[valid_end:], valid=made[test_end:valid_end], test=made[:test_end])
