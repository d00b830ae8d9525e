"""The constructions of the demo corpus: questions, passives, conditions, reported speech and the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from a2d_cli.data.demo import lexicon
from a2d_cli.data.demo import words as forms
from a2d_cli.data.demo.choices import (
    COLORS,
    GROUPS,
    OBJECT_VERBS,
    SUBJECT_VERBS,
    adverbials,
    choose_tense,
    first_name,
    is_new,
    kind_of,
    make_clause,
    make_copula,
    noun_phrase,
    place_part,
    slot_part,
    some_object,
    someone,
)
from a2d_cli.data.demo.clauses import (
    Clause,
    Part,
    Tense,
    be_form,
    english_infinitive,
    german_field,
    german_infinitive,
    german_last,
    german_main,
    german_question,
    german_verb,
    in_english,
    subject_and_field,
)
from a2d_cli.data.demo.phrases import (
    FORMAL,
    HE,
    IT,
    ONE,
    WE,
    WHAT,
    WHO,
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
)
from a2d_cli.data.demo.times import Dice, Pair, time_part
from a2d_cli.data.demo.words import Verb


def make_passive(dice: Dice, group: str) -> Clause:
    verb = dice.zipf([verb for verb in forms.ALL_VERBS if "v" in verb.tags])
    index = next(i for i, slot in enumerate(verb.slots) if slot.case == "acc" and not slot.de)
    patient = some_object(dice, verb.slots[index], dice.pick([I, WE, HE]), lean=False, kein=False)
    if isinstance(patient, Pairing):
        patient = patient.first
    tense = choose_tense(dice, group, verb, patient, None, passive=True)
    if group == "done":
        tense = Tense("perfect", "perfect")
    parts = [slot_part(dice, slot, patient, True, False, None) for i, slot in enumerate(verb.slots) if i != index]
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
            replace(part, en=part.en + comma, role_en="opening") if part is front else part for part in clause.parts
        )
        english_clause = replace(clause, parts=parts)
    else:
        english_clause = clause
    opening = [
        part.en + (" ," if part.role == "attitude" else "")
        for part in english_clause.parts
        if part.role_en == "opening"
    ]
    return german_main(clause, front), joined(*opening, in_english(english_clause))


def pick_front(dice: Dice, clause: Clause, probability: float = 0.45) -> Part | None:
    """What takes the first place instead of the subject."""
    movable = [
        part
        for part in clause.parts
        if part.role in ("time", "place", "attitude", "object", "dative", "prepositional", "dat_pronoun", "frequency")
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
    place = dice.zipf([noun for noun in forms.ALL_NOUNS["place"] if noun.de in places.split()])
    where = place_part(dice, ["place"], WE, towards=False, noun=place)
    there = f"there {be_form(thing, past)}"
    finite = "gab" if past else "gibt"
    german = (
        f"{where.de} {finite} es {thing.de('acc')}" if dice.chance(0.7) else f"es {finite} {thing.de('acc')} {where.de}"
    )
    return Sentence(german, f"{there} {thing.en('acc')} {where.en}")


def question(dice: Dice) -> Sentence:
    clause = make_clause(
        dice, dice.pick(["past", "past", "habit", "habit", "future"]), formal=True, lean=dice.chance(0.5)
    )
    if dice.chance(0.35) and not any(part.role == "time" for part in clause.parts):
        german, words = dice.zipf(forms.pairs(lexicon.ASKING)[:3])
        if not (words == "where" and any(part.role in ("place", "direction") for part in clause.parts)):
            return Sentence(f"{german} {german_question(clause)}", in_english(clause, opener=words, question=True), "?")
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
        asked = NounPhrase(forms.ALL_NOUNS["place"][2], determiner="welch")
    else:
        noun = dice.zipf(forms.ALL_NOUNS[kind])
        asked = replace(NounPhrase(noun, determiner="welch"), plural=bool(noun.plural_de) and dice.chance(0.2))
    subject = someone(dice, lean=True, formal=True)
    clause = make_clause(dice, group, verb=verb, subject=subject, given={index: asked}, extract=index, lean=lean)
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
    german = joined(
        verb.base if verb.separable else verb.infinitive,
        "Sie",
        "bitte" if please else "",
        *german_field(clause),
        *tail,
    )
    return Sentence(german, joined("please" if please else "", english_infinitive(clause).removeprefix("to ")), "!")


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
        if not isinstance(n, (Gap, Toponym)) and not (isinstance(n, NounPhrase) and n.determiner in ("kein", "jed"))
    ]
    if not nominals:
        return None
    chosen = dice.pick(nominals)
    return chosen, kind_of(chosen)


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
                return make_clause(dice, group, verb=dice.zipf(SUBJECT_VERBS[kind]), subject=pronoun, lean=lean)
        if kind in OBJECT_VERBS and pronoun.person == 3:
            choices = [(verb, i) for verb, i in OBJECT_VERBS[kind] if takes_pronoun(verb, i)]
            if choices:
                verb, index = dice.zipf(choices)
                subject = (
                    first.subject.pronoun()
                    if nominal is not first.subject and dice.chance(0.5) and kind_of(first.subject) == "person"
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
    german, words = dice.pick(forms.pairs(lexicon.WEATHER))
    if german.endswith("en"):
        return Clause(IT, replace(forms.BE, infinitive=german, base=german, english=words), tense)
    return Clause(IT, forms.BE, tense, (Part("predicate", german, words, "predicate"),))


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
        rest = joined(finite, *subject_and_field(first), *tail)
        return Sentence(f"{german} , {rest}", f"{conjunction_en} {words} , {in_english(first)}")
    first = make_clause(dice, main_group, lean=dice.chance(0.4))
    sub = following(dice, group, first, lean=dice.chance(0.4), describing=describing)
    german, words = opened(first, pick_front(dice, first, 0.2))
    return Sentence(f"{german} , {german_last(sub, conjunction_de)}", f"{words} {conjunction_en} {in_english(sub)}")


def coordination(dice: Dice) -> Sentence:
    group = dice.pick(["past", "past", "habit"])
    first = make_clause(dice, group, lean=dice.chance(0.6), main=True)
    second = following(dice, group, first, lean=dice.chance(0.6))
    german, words = opened(first, pick_front(dice, first, 0.3))
    if dice.chance(0.6):
        connector_de, connector_en = dice.zipf(forms.pairs(lexicon.CONNECTORS["plain"]))
        comma = "" if connector_de in ("und", "oder") else " ,"
        reason_de, reason_en = reason(dice, group, second)
        german = f"{german}{comma} {connector_de} {german_main(second)}{reason_de}"
        return Sentence(german, f"{words} , {connector_en} {in_english(second)}{reason_en}")
    connector_de, connector_en = dice.zipf(forms.pairs(lexicon.CONNECTORS["inverting"]))
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
    first = matrix(dice, forms.DASS)
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
    first = matrix(dice, forms.OB)
    group = "past" if first.tense.en == "past" else dice.pick(["past", "habit", "future"])
    if dice.chance(0.4):
        second = asked_for(dice, group, lean=True)
        return Sentence(f"{german_main(first)} , {german_last(second)}", f"{in_english(first)} {in_english(second)}")
    second = make_clause(dice, group, lean=dice.chance(0.4))
    german, words = ("ob", "whether")
    if dice.chance(0.5) and not any(part.role in ("time", "place", "direction", "frequency") for part in second.parts):
        german, words = dice.zipf(forms.pairs(lexicon.ASKING)[:3])
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
    first = matrix(dice, forms.ZU)
    second = infinitive_clause(dice, first.subject)
    return Sentence(
        f"{german_main(first)} , {german_infinitive(second)}",
        f"{in_english(first)} {english_infinitive(second)}",
    )


def evaluation(dice: Dice) -> Sentence:
    """Es ist schwer, den Zug zu reparieren."""
    german, words = dice.zipf(forms.pairs(lexicon.EVALUATIONS))
    finite_de, finite_en = dice.pick([("ist", "is"), ("ist", "is"), ("war", "was")])
    doer: Nominal = ONE
    for_de, for_en = "", ""
    if dice.chance(0.35):
        doer = noun_phrase(dice, ["person"], lean=True)
        for_de, for_en = f"für {doer.de('acc')}", f"for {doer.en('acc')}"
    second = infinitive_clause(dice, doer)
    return Sentence(
        f"{joined('es', finite_de, for_de, german)} , {german_infinitive(second)}",
        joined("it", finite_en, words, for_en, english_infinitive(second)),
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
            [verb for verb in forms.ALL_VERBS if verb.infinitive == "haben" and "person" in verb.subjects]
        )
        parts = tuple(slot_part(dice, slot, subject, True, False, None) for slot in owned.slots)
        first = Clause(subject, owned, Tense("subjunctive", "subjunctive"), parts)
    second = make_clause(dice, "would", subject=subject.pronoun() if dice.chance(0.7) else None, lean=dice.chance(0.5))
    finite, tail = german_verb(second)
    rest = joined(finite, *subject_and_field(second), *tail)
    return Sentence(f"{german_last(first, 'wenn')} , {rest}", f"if {in_english(first)} , {in_english(second)}")


def the_more(dice: Dice) -> Sentence:
    """Je größer das Haus ist, desto teurer ist es."""
    kind = dice.pick(["thing", "clothes", "building", "vehicle", "text", "person", "animal", "dish", "event", "idea"])
    noun = replace(noun_phrase(dice, [kind], lean=True), determiner="der", determiner_en="", owner=None, adjectives=())
    adjectives = [a for a in forms.ADJECTIVES_OF[kind] if a.de not in lexicon.NO_DEGREES.split() and a not in COLORS]
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
