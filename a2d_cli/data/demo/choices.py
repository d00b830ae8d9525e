"""Choosing what a sentence is about: phrases, the constituents a verb asks for, whole clauses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from a2d_cli.data.demo import lexicon
from a2d_cli.data.demo import words as forms
from a2d_cli.data.demo.clauses import MODALS, Clause, Modal, Part, Tense, german_last, in_english
from a2d_cli.data.demo.phrases import (
    FORMAL,
    HE,
    IT,
    QUANTIFIERS,
    SHE,
    SPEAKERS,
    WE,
    YOU,
    YOU_ALL,
    Gap,
    I,
    Name,
    Nominal,
    NounPhrase,
    Pairing,
    Pronoun,
    Toponym,
    joined,
    prepositional,
    relative_pronoun,
)
from a2d_cli.data.demo.times import Dice, Pair, duration, number_de, number_en, price, time_part
from a2d_cli.data.demo.words import Adjective, Noun, Slot, Verb

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
    noun = dice.zipf(forms.ALL_NOUNS[kind])
    compounds = forms.ALL_COMPOUNDS.get((kind, noun.de))
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
    choices = forms.ADJECTIVES_OF.get(phrase.noun.kind)
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
            whose = replace(noun_phrase(dice, ["person"], lean=True), determiner="der", determiner_en="", owner=None)
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
            dice.zipf([noun for noun in forms.ALL_NOUNS["person"] if noun.de in COMPANIONS]),
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
            return dice.zipf([p for p in OBJECT_PRONOUNS if p.person != subject.person or p == (HE if sie else SHE)])
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
for _verb in forms.ALL_VERBS:
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


def slot_part(dice: Dice, slot: Slot, subject: Nominal, lean: bool, kein: bool, given: Nominal | None) -> Part:
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
            else dice.zipf(forms.pairs(lexicon.PHRASES[name]))
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
        return Part(role, prepositional(german, furniture, case), f"{words} {furniture.en(case)}", "prepositional")
    nominal = given or some_object(dice, slot, subject, lean, kein and slot.case == "acc" and not slot.de)
    front = nominal.front_en if isinstance(nominal, Gap) else nominal.en("acc")
    if slot.de:
        role_en = "prepositional" if slot.en else "object2"
        return Part(
            "prepositional",
            prepositional(slot.de, nominal, slot.case),
            joined(slot.en, nominal.en("acc")),
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
    return Part(role, nominal.de(slot.case), joined(slot.en, nominal.en("acc")), role_en, nominal, front)


def place_part(dice: Dice, kinds: Sequence[str], owner: Nominal, towards: bool, noun: Noun | None = None) -> Part:
    """im Park, in the park; nach Rom, to Rome; zum See, to the lake: of these kinds, or `noun`."""
    kind = dice.pick(kinds)
    role = "direction" if towards else "place"
    if kind in ("city", "country"):
        where = toponym(dice, kind)
        german = where.direction() if towards else f"in {where.de('dat')}"
        return Part(role, german, f"{'to' if towards else 'in'} {where.en('acc')}", role)
    place = noun_phrase(dice, [kind] if kind in forms.ALL_NOUNS and kind != "building" else ["place"], owner, lean=True)
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


def choose_tense(dice: Dice, group: str, verb: Verb, subject: Nominal, modal: Modal | None, passive: bool) -> Tense:
    static = "s" in verb.tags or verb.base in ("haben", "sein") or (modal is not None and bool(modal.german)) or passive
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
    verb = verb or dice.zipf(SUBJECT_VERBS["person"] if dice.chance(0.85) else forms.ALL_VERBS)
    if subject is None:
        kind = dice.pick(verb.subjects)
        subject = someone(dice, lean, formal) if kind == "person" else noun_phrase(dice, [kind], lean=lean)
    if group == "would" and verb.tags & {"s", "n"}:
        verb = dice.zipf([other for other in SUBJECT_VERBS[kind_of(subject)] if not other.tags & {"s", "n"}] or [verb])
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
    if modal and modal.adverb or isinstance(subject, NounPhrase) and subject.determiner in ("jed", "alle", "kein"):
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
    if negated and not any(isinstance(p.nominal, NounPhrase) and p.nominal.determiner == "kein" for p in parts):
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
    elif group in ("now", "done", "since", "used") or (group in lexicon.WHEN and dice.chance(0.35 if lean else 0.6)):
        parts.append(time_part(dice, group, verb))
    elif group in ("habit", "past") and not negated and not modal and "n" not in verb.tags and dice.chance(0.2):
        german, words = dice.zipf(forms.pairs(lexicon.FREQUENCY))
        parts.append(Part("frequency", german, words, "adverb"))
    if lean:
        return parts
    if "m" in verb.tags and not negated and "manner" not in roles and group != "done" and dice.chance(0.2):
        german, words = dice.zipf(forms.pairs(lexicon.MANNER))
        parts.append(Part("manner", german, words, "manner"))
    if "p" in verb.tags and not roles & {"place", "direction"} and dice.chance(0.25):
        parts.append(place_part(dice, ["place", "place", "place", "city"], subject, towards=False))
    if main and dice.chance(0.07):
        german, words = dice.zipf(forms.pairs(lexicon.ATTITUDE))
        parts.append(Part("attitude", german, words, "opening"))
    if not verb.tags & {"n", "s"} and dice.chance(0.05):
        parts.append(cause_part(dice))
    return parts


def cause_part(dice: Dice) -> Part:
    """wegen des Regens, because of the rain; während der Reise, during the trip."""
    german, words = dice.pick(forms.pairs(lexicon.CAUSES))
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
    adjectives = forms.ADJECTIVES_OF.get(kind, forms.ADJECTIVES_OF["thing"])
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
        degree_de, degree_en = dice.zipf(forms.pairs(lexicon.DEGREES))
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
    return Clause(subject, forms.BE, tense, tuple(parts), negated=negated)


def _profession(dice: Dice, subject: Nominal, tense: Tense) -> Clause:
    """German has no article here: Sie ist Ärztin, she is a doctor."""
    feminine = subject.pronoun().german == "sie"
    jobs = [
        noun
        for noun in forms.ALL_NOUNS["person"]
        if noun.natural == ("she" if feminine else "he") and noun.en in ROLE_NAMES
    ]
    job = dice.zipf(jobs)
    verb = forms.BECOME if tense.de != "subjunctive" and dice.chance(0.3) else forms.BE
    if verb is forms.BECOME:
        tense = Tense("future", "future") if tense.de == "present" else tense
    return Clause(subject, verb, tense, (Part("predicate", job.de, f"{forms.article(job.en)} {job.en}", "predicate"),))


ROLE_NAMES = {
    noun.en
    for noun in forms.ALL_NOUNS["person"]
    if noun.de.endswith("in") and noun.natural == "she" and noun.de != "Königin"
}


def kind_of(nominal: Nominal) -> str:
    if isinstance(nominal, Pairing):
        return kind_of(nominal.first)
    return nominal.noun.kind if isinstance(nominal, NounPhrase) else "person"
