"""Clauses in both languages: verb second, verb final, questions and infinitives from one description."""

from __future__ import annotations

from dataclasses import dataclass

from a2d_cli.data.demo import words as forms
from a2d_cli.data.demo.phrases import Gap, Nominal, Pronoun, joined
from a2d_cli.data.demo.words import Verb

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
        return forms.german_finite(infinitive, person, plural, past)

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
        return joined(clause.subject.de("nom"), finite, *german_field(clause), *tail)
    return joined(first, finite, *subject_and_field(clause, front), *tail)


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
    return joined(opener, finite, *subject_and_field(clause), *tail)


def german_last(clause: Clause, opener: str = "") -> str:
    """Verb final: after a conjunction, or a relative or question word."""
    finite, tail = german_verb(clause)
    if tail == [clause.verb.prefix]:
        tail, finite = [], clause.verb.prefix + finite
    opener = clause.extracted.de if clause.extracted else opener
    return joined(opener, clause.subject.de("nom"), *german_field(clause), *tail, finite)


def german_infinitive(clause: Clause) -> str:
    """The zu-infinitive: den Lehrer anzurufen."""
    return joined(*german_field(clause), clause.verb.zu_infinitive)


def be_form(subject: Nominal, past: bool) -> str:
    if subject.plural or subject.person == 2:
        return "were" if past else "are"
    if past:
        return "was"
    return "am" if subject.person == 1 else "is"


def english_form(verb: str, subject: Nominal, past: bool) -> str:
    if verb == "be":
        return be_form(subject, past)
    if past:
        return forms.english_past(verb)
    third = subject.person == 3 and not subject.plural
    return forms.english_third(verb) if third else verb


def english_verb(clause: Clause, auxiliary: bool) -> tuple[list[str], list[str]]:
    """The finite word, if it can stand before `not` and the subject, and the other words of the verb.

    Args:
        auxiliary: whether one is needed: reads -> does, read.
    """
    subject, tense = clause.subject_en, clause.tense.en
    head = clause.verb.english.split()[0]
    rest: list[str] = []
    if clause.passive:
        head, rest = "be", [forms.english_participle(head)]
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
        been = ["been", forms.english_gerund(head)] if tense == "since" else [forms.english_participle(head)]
        return [have], [*been, *rest]
    if tense == "progressive":
        return [be_form(subject, past=False)], [forms.english_gerund(head), *rest]
    past = tense in ("past", "subjunctive")
    if head == "be":
        be = "were" if tense == "subjunctive" else be_form(subject, past)
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
        pronouns = [part for part in parts if isinstance(part.nominal, Pronoun) and part.role_en.startswith("object")]
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
    return joined(*before, *negation, *adverbs, *rest, *english_tail(clause)).replace("can not", "cannot")


def english_infinitive(clause: Clause, gerund: bool = False) -> str:
    """to call the teacher, or calling the teacher."""
    head = clause.verb.english.split()[0]
    verb = forms.english_gerund(head) if gerund else f"to {head}"
    adverbs = [part.en for part in clause.parts if part.role_en == "adverb"]
    return joined(*adverbs, verb, *english_tail(clause))
