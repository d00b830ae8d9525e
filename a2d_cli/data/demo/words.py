"""German and English words with their forms, read from the tables of the demo lexicon."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache

from a2d_cli.data.demo.lexicon import (
    ADJECTIVE_CLASSES,
    ADJECTIVES,
    COMPOUNDS,
    DASS_VERBS,
    GROUPS,
    IRREGULAR_VERBS,
    NOUNS,
    OB_VERBS,
    PLACES,
    ROLES,
    STRONG_VERBS,
    UMLAUTING,
    VERBS,
    ZU_VERBS,
)


@dataclass(frozen=True)
class Noun:
    """A noun in both languages; `natural` is the English pronoun, `at` the prepositions of a place."""

    kind: str
    de: str
    gender: str  # m f n
    plural_de: str  # '' if it has none
    weak: bool
    en: str
    plural_en: str
    natural: str  # he she it
    at: tuple[str, str] = ("", "")

    def german(self, case: str, plural: bool) -> str:
        if plural:
            return self.plural_de + ("n" if case == "dat" and not self.plural_de.endswith(("n", "s")) else "")
        if self.gender == "f" or case == "nom":
            return self.de
        if self.weak:
            genitive_s = "s" if case == "gen" and self.de in ("Name", "Gedanke") else ""
            return (self.plural_de or self.de) + genitive_s
        if case != "gen":
            return self.de
        if re.search("(s|ß|x|z|sch|st)$", self.de):
            return self.de + ("ses" if self.plural_de == self.de + "se" else "es")
        one_syllable = len(re.findall("[aeiouäöüy]+", self.de.lower())) == 1
        loan_word = self.plural_de == self.de + "s"
        return self.de + (
            "es" if one_syllable and not loan_word and not re.search("([aeiouw]|e[rln])$", self.de) else "s"
        )


@dataclass(frozen=True)
class Adjective:
    de: str
    en: str

    @property
    def stem(self) -> str:
        """What endings are put on: dunkl-e, teur-e, hoh-e, müd-e."""
        if self.de == "hoch":
            return "hoh"
        if self.de.endswith(("sauer", "teuer")):
            return self.de[:-2] + "r"
        return self.de[:-2] + "l" if self.de.endswith("el") else self.de.removesuffix("e")

    def comparative(self) -> Adjective:
        irregular = {"gut": "besser", "hoch": "höher"}
        return Adjective(irregular.get(self.de) or self._umlauted(self.stem) + "er", english_degree(self.en, "er"))

    def superlative(self) -> Adjective:
        irregular = {"gut": "best", "hoch": "höchst", "groß": "größt", "neu": "neuest"}
        base = self.de.removesuffix("e")
        ending = "est" if re.search("(d|t|s|ß|z|sch)$", base) and not base.endswith("end") else "st"
        return Adjective(irregular.get(self.de) or self._umlauted(base) + ending, english_degree(self.en, "est"))

    def _umlauted(self, form: str) -> str:
        return umlaut(form) if self.de in UMLAUTING.split() else form


@dataclass(frozen=True)
class Slot:
    """A place in a verb's frame: `case` acc dat, or wo wohin loc onto phrase word reflexive."""

    case: str
    kinds: tuple[str, ...] = ()
    de: str = ""
    en: str = ""
    becomes_subject: bool = False


@dataclass(frozen=True)
class Verb:
    """A German verb with its English one.

    Attributes:
        infinitive, prefix, separable: `anrufen` is (anrufen, an, True), `bekommen` (bekommen, be, False).
        base: the inflected part: rufen, kommen.
        english: the first word is inflected; `~` marks where a pronoun object stands.
    """

    infinitive: str
    prefix: str
    separable: bool
    base: str
    with_sein: bool
    english: str
    subjects: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    tags: frozenset[str] = frozenset()

    @property
    def participle(self) -> str:
        _, _, _, participle = german_parts(self.base)
        if not self.prefix:
            return participle
        return self.prefix + (participle if self.separable else participle.removeprefix("ge"))

    @property
    def zu_infinitive(self) -> str:
        return f"{self.prefix}zu{self.base}" if self.separable else f"zu {self.infinitive}"

    def finite(self, person: int, plural: bool, past: bool = False) -> str:
        """The finite form without a separable prefix: (ich) rufe."""
        form = german_finite(self.base, person, plural, past)
        return form if self.separable else self.prefix + form


def umlaut(word: str) -> str:
    """Baum -> Bäum, Tochter -> Töchter: the last of a, o, u (au) of the word."""
    found = re.search("(au|a|o|u)(?=[^aou]*$)", word, re.IGNORECASE)
    assert found, word
    changed = {"au": "äu", "a": "ä", "o": "ö", "u": "ü", "A": "Ä", "O": "Ö", "U": "Ü", "Au": "Äu"}[found.group()]
    return word[: found.start()] + changed + word[found.end() :]


@cache
def german_parts(infinitive: str) -> tuple[str, str, str, str]:
    """Stem, third person present, past and participle: lesen -> les, liest, las, gelesen."""
    stem = infinitive[:-1] if re.search("(el|er)n$", infinitive) else infinitive[:-2]
    e = "e" if needs_e(stem) else ""
    regular = (f"{stem}{e}t", f"{stem}{e}te", ("" if infinitive.endswith("ieren") else "ge") + f"{stem}{e}t")
    forms = STRONG.get(infinitive, regular)
    present, past, participle = (b if a == "-" else a for a, b in zip(forms, regular, strict=True))
    return stem, present, past, participle


def needs_e(stem: str) -> bool:
    """Whether an e stands before -t and -st: arbeit-et, öffn-et, but lern-t."""
    return bool(re.search("([td]|[bdfgkpst][nm]|ch[nm])$", stem))


# singular 1-3, plural 1-3 of the verbs that follow no rule in the present
PRESENT = {
    "sein": "bin bist ist sind seid sind",
    "haben": "habe hast hat haben habt haben",
    "werden": "werde wirst wird werden werdet werden",
    "wissen": "weiß weißt weiß wissen wisst wissen",
    "können": "kann kannst kann können könnt können",
    "müssen": "muss musst muss müssen müsst müssen",
    "wollen": "will willst will wollen wollt wollen",
    "sollen": "soll sollst soll sollen sollt sollen",
    "dürfen": "darf darfst darf dürfen dürft dürfen",
    "möchten": "möchte möchtest möchte möchten möchtet möchten",
    "würden": "würde würdest würde würden würdet würden",
    "hätten": "hätte hättest hätte hätten hättet hätten",
    "wären": "wäre wärst wäre wären wärt wären",
}


def german_finite(infinitive: str, person: int, plural: bool, past: bool) -> str:
    if past:
        return _german_past(german_parts(infinitive)[2], person, plural)
    if infinitive in PRESENT:
        return PRESENT[infinitive].split()[person - 1 + 3 * plural]
    stem, third, _, _ = german_parts(infinitive)
    if plural:
        return stem + ("et" if needs_e(stem) else "t") if person == 2 else infinitive
    if person == 1:
        return stem[:-2] + "le" if infinitive.endswith("eln") else stem + "e"
    if person == 3:
        return third
    if stem.endswith("t") and not third.endswith("et"):  # hält -> hältst
        return third + "st"
    return third[:-1] + ("t" if re.search("[sßzx]$", third[:-1]) else "st")


def _german_past(past: str, person: int, plural: bool) -> str:
    if person != 2 and not plural:
        return past
    if person == 2:
        e = "e" if re.search("([td]|[sßz])$", past) else ""
        return past + e + ("t" if plural else "st")
    return past + ("n" if past.endswith("e") else "en")


def english_third(verb: str) -> str:
    """go -> goes, carry -> carries, read -> reads."""
    if verb == "have":
        return "has"
    return english_plural(verb) if verb not in ("go", "do") else verb + "es"


def english_plural(word: str) -> str:
    if re.search("[^aeiou]y$", word):
        return word[:-1] + "ies"
    return word + ("es" if re.search("(s|x|z|ch|sh)$", word) else "s")


def _doubled(word: str) -> str:
    """stop -> stopp, before an ending that begins with a vowel; look and wear stay."""
    one_syllable = len(re.findall("[aeiouy]+", word)) == 1
    doubles = (one_syllable and re.search("[^aeiou][aeiou][bdgmnprt]$", word)) or word in (
        "admit",
        "begin",
        "forget",
        "regret",
        "prefer",
    )
    return word + word[-1] if doubles else word


def english_past(verb: str) -> str:
    if verb in IRREGULAR:
        return IRREGULAR[verb][0]
    if re.search("[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    return verb + "d" if verb.endswith("e") else _doubled(verb) + "ed"


def english_participle(verb: str) -> str:
    return IRREGULAR[verb][1] if verb in IRREGULAR else english_past(verb)


def english_gerund(verb: str) -> str:
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    return verb[:-1] + "ing" if verb.endswith("e") and verb not in ("be", "see") else _doubled(verb) + "ing"


def english_degree(adjective: str, ending: str) -> str:
    """big -> bigger, happy -> happier, expensive -> more expensive; the same with -est."""
    irregular = {"good": ("better", "best"), "bad": ("worse", "worst")}
    if adjective in irregular:
        return irregular[adjective][ending == "est"]
    syllables = len(re.findall("[aeiouy]+", re.sub("e$", "", adjective)))
    if syllables == 1 or (syllables == 2 and adjective.endswith("y")):
        stem = _doubled(adjective) if not adjective.endswith("e") else adjective[:-1]
        return re.sub("([^aeiou])y$", r"\1i", stem) + ending
    return ("more " if ending == "er" else "most ") + adjective


def article(following: str) -> str:
    """a or an."""
    vowel = re.match("[aeiou]", following) and not re.match("(uni|use|one|eu)", following)
    return "an" if vowel or following.startswith("ho") and following.startswith(("honest", "hour")) else "a"


def _items(table: str) -> list[str]:
    return [" ".join(item.split()) for item in re.split(r",\s", table.strip())]


@cache
def pairs(table: str) -> tuple[tuple[str, str], ...]:
    """`morgen=tomorrow, bald=soon` as pairs."""
    return tuple((german, english) for german, english in (item.split("=") for item in _items(table)))


def _german_plural(singular: str, code: str) -> str:
    if code == "0":
        return ""
    if code[0].isupper():
        return code
    stem = umlaut(singular) if code.startswith("¨") else singular
    return stem + code.strip("¨-")


def _noun(entry: str, kind: str, at: tuple[str, str] = ("", "")) -> Noun:
    de, gender, code, english = entry.split(" ", 3)
    en, _, plural = english.partition("/")
    natural = {"m": "he", "f": "she"}.get(gender[0], "it") if kind in ("person", "thief") else "it"
    return Noun(
        kind,
        de,
        gender[0],
        _german_plural(de, code),
        gender.endswith("!"),
        en,
        plural or english_plural(en),
        "she" if de == "Mädchen" else natural,
        at,
    )


def _role(entry: str) -> list[Noun]:
    names, code, english = entry.split(" ", 2)
    masculine, _, feminine = names.partition("/")
    feminine = feminine or masculine + "in"
    man = _noun(f"{masculine} m{'!' * code.endswith('!')} {code.rstrip('!')} {english}", "person")
    return [man, replace(man, de=feminine, gender="f", plural_de=feminine + "nen", weak=False, natural="she")]


def _all_nouns() -> dict[str, list[Noun]]:
    nouns = {kind: [_noun(entry, kind) for entry in _items(table)] for kind, table in NOUNS.items()}
    roles = [noun for entry in _items(ROLES) for noun in _role(entry)]
    common, rare = nouns["person"][:5], nouns["person"][5:]
    mixed = [noun for pair in zip(roles, rare, strict=False) for noun in pair] + roles[len(rare) :] + rare[len(roles) :]
    nouns["person"] = common + mixed
    for (kind, *at), table in PLACES.items():
        nouns.setdefault(kind, []).extend(_noun(entry, kind, tuple(at)) for entry in _items(table))
    return nouns


def _compounds(nouns: dict[str, list[Noun]]) -> dict[tuple[str, str], list[Noun]]:
    """Compounds by (kind, head): Tisch -> Holztisch, Glastisch ..."""
    found: dict[tuple[str, str], list[Noun]] = {}
    heads = [noun for kind in nouns.values() for noun in kind]
    for line in COMPOUNDS.strip().splitlines():
        first, _, names = line.partition(": ")
        first_de, first_en = first.split("=")
        for head in (noun for name in names.split() for noun in heads if noun.de == name):
            compound = replace(
                head,
                de=first_de + head.de.lower(),
                plural_de=head.plural_de and first_de + head.plural_de.lower(),
                en=f"{first_en} {head.en}",
                plural_en=f"{first_en} {head.plural_en}",
            )
            found.setdefault((head.kind, head.de), []).append(compound)
    return found


def _slot(token: str) -> Slot:
    head, _, kinds = token.partition(":")
    kinds_of = tuple(k for name in kinds.split(",") for k in GROUPS.get(name, name).split())
    if token.startswith("sich"):
        return Slot("reflexive", de="dat" if token.endswith(".D") else "acc")
    if token.startswith("!"):
        return Slot("word", de=token[1:])
    if token.startswith("+"):
        return Slot("phrase", (token[1:],))
    if head in ("wo", "wohin", "loc", "onto"):
        return Slot(head, kinds_of)
    german, _, english = head.partition("=")
    preposition, _, case = german.rpartition(".")
    becomes_subject = case.endswith("~")
    return Slot({"A": "acc", "D": "dat"}[case[0]], kinds_of, preposition, english, becomes_subject)


def _verb(line: str) -> Verb:
    german, english, subjects, frame, *tags = (part.strip() for part in line.split(";"))
    tokens = frame.split()
    *reflexive, infinitive = german.removesuffix(" sein").split()
    separable = "|" in infinitive
    prefix, _, base = infinitive.replace("|", "-").rpartition("-")
    return Verb(
        prefix + base,
        prefix,
        separable,
        base,
        "sein" in german.split()[1:],
        english,
        tuple(k for name in subjects.split(",") for k in GROUPS.get(name, name).split()),
        tuple(_slot(token) for token in reflexive + tokens),
        frozenset(tags[0].split() if tags else ()),
    )


STRONG = {entry.split()[0]: tuple(entry.split()[1:]) for entry in _items(STRONG_VERBS)}
IRREGULAR = {entry.split()[0]: tuple(entry.split()[1:]) for entry in _items(IRREGULAR_VERBS)}
ALL_NOUNS = _all_nouns()
ALL_COMPOUNDS = _compounds(ALL_NOUNS)
ALL_VERBS = [_verb(line) for line in VERBS.strip().splitlines()]
ADJECTIVES_OF = {
    kind: [Adjective(*entry.split(" ", 1)) for entry in _items(ADJECTIVES[name])]
    for name, kinds in ADJECTIVE_CLASSES.items()
    for kind in kinds.split()
}
ZU, DASS, OB = (
    [_verb(line + "; person; ;") for line in table.strip().splitlines()] for table in (ZU_VERBS, DASS_VERBS, OB_VERBS)
)
BE, BECOME = _verb("sein sein; be; ; ; s"), _verb("werden sein; become; ; ;")
