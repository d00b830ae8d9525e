"""Methods: what `--method` names, as a sum of terms joined by '+', perhaps with settings of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from a2d_cli.config.method_name import NOT_OWN, own_settings, own_suffix, terms_of
from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.aligned_attention import PROFILES, aligned
from a2d_cli.distillation.amad import Amad
from a2d_cli.distillation.fixed_attention import FixedAttention
from a2d_cli.distillation.hidden_states import HiddenStateMatching
from a2d_cli.distillation.projected_attention import ProjectedAttention
from a2d_cli.distillation.terms import Term
from a2d_cli.errors import ConfigError

RELEASED = ("a2d-release", "a2d-paper")  # whole objectives, not terms: their mean over padding is no sum over tokens
CONTROLS = ("frozen", "shuffled", "uniform")
ONE_TEACHER = ("seq", "copy-layers", *RELEASED)  # of what is no term: what an ensemble cannot teach

WORD_SETTINGS = ("alpha", "temperature", "divergence")
SELECTION_SETTINGS = ("selected_fraction", "selection_queue")
MAP_SETTINGS = ("encoder_self", "decoder_self", "cross", "map_form")  # of every term that uses maps
RELEASED_SETTINGS = ("encoder_self", "decoder_self", "cross", "beta", "decay")  # it knows one divergence


@dataclass(frozen=True)
class Method:
    """A parsed `--method`."""

    words: bool  # the word term
    terms: tuple[str, ...] = ()  # of `TERMS`, or one of RELEASED
    seq: bool = False  # on the teacher's translations, which are no term: they take the references' place
    selective: bool = False  # the word term for hard tokens alone
    copies_layers: bool = False  # the student starts from layers of the teacher
    suffix: str = ""  # settings of its own, canonical: `@half_life=0`

    @property
    def name(self) -> str:
        """Canonical: `ce`, `word`, `seq`, `seq+a2d-simplex`, `ce+a2d-masked` (attention without the word term),
        `word+copy-layers`, `attn-fixed@layer_map=reverse`."""
        names = list(self.terms)
        if names and not self.words:
            names = ["ce", *names]
        elif self.selective:
            names = ["word-selective", *names]
        elif not names:
            names = ["word"] if self.words else [] if self.seq else ["ce"]
        return "+".join(["seq"] * self.seq + names + ["copy-layers"] * self.copies_layers) + self.suffix

    @property
    def needs_teacher(self) -> bool:
        return self.asks_teacher or self.copies_layers

    @property
    def asks_teacher(self) -> bool:
        """In every update, not only before the first."""
        return self.words or bool(self.terms)

    @property
    def needs_maps(self) -> bool:
        return self.is_released or any(TERMS[name].uses_maps for name in self.terms)

    @property
    def needs_hidden(self) -> bool:
        return not self.is_released and any(TERMS[name].uses_hidden for name in self.terms)

    @property
    def can_be_cut(self) -> bool:
        """An update may be shared out in pieces and to ranks, which changes nothing."""
        return not self.is_released and all(TERMS[name].can_be_cut for name in self.terms)

    @property
    def is_released(self) -> bool:
        return bool(set(RELEASED) & set(self.terms))


def parse_method(settings: Distillation) -> Method:
    """Read a method string; `a2d` stands for `a2d-PROFILE`. The loader has checked the names of the terms.

    Raises:
        ConfigError: `release` or `paper` beside another term, several teachers where only one can teach, or a setting
            of its own that the method does not use.
    """
    given = [f"a2d-{settings.profile}" if term == "a2d" else term for term in terms_of(settings.method)]
    terms = tuple(term for term in given if term in TERMS or term in RELEASED)
    selective = "word-selective" in given
    if len(terms) + selective > 1 and set(RELEASED) & set(terms):
        raise ConfigError(
            f"distillation.method: '{settings.method}' mixes the released objective with another one",
            "a2d-release and a2d-paper stand alone or with ce; the other terms can be joined",
        )
    # A term of maps or states contains the word term, so that `word` is its baseline, unless `ce` says otherwise.
    words = "word" in given or selective or (bool(terms) and "ce" not in given)
    alone = [term for term in given if term in ONE_TEACHER or term in TERMS and TERMS[term].one_teacher]
    if alone and len(settings.teachers) > 1:
        raise ConfigError(
            f"distillation.teacher: '{settings.teacher}' are several teachers, {alone[0]} takes one",
            "an ensemble teaches words and aligned attention: name one teacher, or choose another method",
        )
    plain = Method(words, terms, seq="seq" in given, selective=selective, copies_layers="copy-layers" in given)
    own = own_settings(settings.method).keys()
    known = _used_by(plain, settings) - {*NOT_OWN}
    for key in own - known:
        raise ConfigError(
            f"distillation.method: '{settings.method}': {plain.name} does not use {key}",
            f"it uses {', '.join(sorted(known))}" if known else "it has no settings: leave out what follows '@'",
        )
    return replace(plain, suffix=own_suffix({key: getattr(settings, key) for key in own}))


def settings_that_count(settings: Distillation) -> dict[str, object]:
    """Those that change the result of `settings.method`, and its name; where the teacher lies does not."""
    method = parse_method(settings)
    return {**_counting(method, settings), "method": method.name}


def idle_settings(settings: Distillation, keys: Iterable[str]) -> list[str]:
    """Of the keys of `Distillation` those that change nothing for `settings.method`."""
    used = _used_by(parse_method(settings), settings) | {*NOT_OWN}
    return [key for key in keys if key in vars(settings) and key not in used]


def _used_by(method: Method, settings: Distillation) -> set[str]:
    """Keys that count, and those by which the text is made that the student reads."""
    of_text = {key for key in vars(settings) if key.startswith("pseudo")} if method.seq else set()
    return _counting(method, settings).keys() | of_text


def _counting(method: Method, settings: Distillation) -> dict[str, object]:
    names = {*WORD_SETTINGS} if method.words else set()
    if method.selective:
        names |= {*SELECTION_SETTINGS}
    if method.is_released:
        as_released = "a2d-release" in method.terms
        names = names - {"divergence"} | {*RELEASED_SETTINGS, *["teacher_mix", "gradient_scale"] * as_released}
    elif method.terms:
        names |= {"half_life", "gradient_share", "calibrate_at_update" if settings.gradient_share > 0 else "beta"}
        names.update(*(TERMS[term].reads for term in method.terms))
        if method.needs_maps:
            names |= {*MAP_SETTINGS, *["map_temperature"] * (settings.map_form == "softened")}
    if method.words and settings.cache == "topk":  # states say what the live teacher says; these do not
        names.add("cache_top_k")
    return {key: value for key, value in asdict(settings).items() if key in names}


TERMS: dict[str, type[Term]] = {
    **{f"a2d-{name}": aligned(profile) for name, profile in PROFILES.items()},
    # Each with one thing taken away.
    **{f"a2d-{control}": aligned(replace(PROFILES["simplex"], control=control)) for control in CONTROLS},
    **{f"a2d-diagonal-{control}": aligned(replace(PROFILES["diagonal"], control=control)) for control in CONTROLS},
    "a2d-proj": ProjectedAttention,
    "attn-fixed": FixedAttention,
    "amad": Amad,
    "hidden": HiddenStateMatching,
}
