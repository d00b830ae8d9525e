"""Pronouns, names and noun phrases in both languages, and the prepositions before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from a2d_cli.data.demo import words as forms
from a2d_cli.data.demo.words import Adjective, Noun


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
        return joined(before, *adjectives, self.noun.german(case, self.plural), self.after_de)

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
        noun = joined(
            *(adjective.en for adjective in self.adjectives),
            self.noun.plural_en if self.plural else self.noun.en,
        )
        return joined(self._determiner_en(noun, case), noun, self.after_en)

    def _determiner_en(self, noun: str, case: str) -> str:
        if self.owner:
            return self.owner.en("gen") + "'s"
        if self.determiner_en:
            return self.determiner_en
        if self.determiner in QUANTIFIERS:
            return QUANTIFIERS[self.determiner]
        if self.determiner == "ein":
            return forms.article(noun)
        if self.determiner == "kein":
            if case == "nom":
                return "no"
            return "any" if self.plural or not self.noun.plural_de else forms.article(noun)
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


def joined(*words: str) -> str:
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
    return joined(preposition, first, rest)
