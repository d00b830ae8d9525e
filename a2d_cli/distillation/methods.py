"""Methods: what `--method` names, as a sum of terms joined by '+'.

A new term costs one small class (distillation/terms.py), one line in `TERMS`, and its name in config/rules.py; neither
objective nor trainer knows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.aligned_attention import PROFILES, AlignedAttention, Comparison
from a2d_cli.distillation.terms import MakeTerm
from a2d_cli.errors import ConfigError

RELEASED = ("a2d-release", "a2d-paper")  # whole objectives, not terms: their mean over padding is no sum over tokens
CONTROLS = ("frozen", "shuffled", "uniform")


@dataclass(frozen=True)
class Method:
    """A parsed `--method`."""

    words: bool  # the word term
    terms: tuple[str, ...] = ()  # of `TERMS`, or one of RELEASED
    seq: bool = False  # on the teacher's translations, which are no term: they take the references' place

    @property
    def name(self) -> str:
        """Canonical: `ce`, `word`, `seq`, `seq+a2d-simplex`, `ce+a2d-masked` (attention without the word term)."""
        names = list(self.terms)
        if names and not self.words:
            names = ["ce", *names]
        elif not names:
            names = ["word"] if self.words else [] if self.seq else ["ce"]
        return "+".join(["seq", *names] if self.seq else names)

    @property
    def needs_teacher(self) -> bool:
        return self.words or bool(self.terms)

    @property
    def needs_maps(self) -> bool:
        return bool(set(self.terms) - {"hidden"})

    @property
    def is_released(self) -> bool:
        return bool(set(RELEASED) & set(self.terms))


def parse_method(settings: Distillation) -> Method:
    """Read a method string; `a2d` stands for `a2d-PROFILE`. The loader has checked the names of the terms.

    Raises:
        ConfigError: `release` or `paper` beside another term, or a control of theirs.
    """
    given = [f"a2d-{settings.profile}" if term == "a2d" else term for term in settings.method.split("+")]
    terms = tuple(term for term in given if term in TERMS or term in RELEASED)
    if len(terms) > 1 and set(RELEASED) & set(terms):
        raise ConfigError(
            f"distillation.method: '{settings.method}' mixes the released objective with another one",
            "a2d-release and a2d-paper stand alone or with ce; the other terms can be joined",
        )
    # A term from the inside of the models contains the word term, so that `word` is its baseline, unless `ce` says otherwise.
    words = "word" in given or (bool(terms) and "ce" not in given)
    return Method(words, terms, seq="seq" in given)


def _aligned(comparison: Comparison) -> MakeTerm:
    return partial(AlignedAttention, comparison=comparison)


def _controls() -> Iterator[tuple[str, MakeTerm]]:
    """Of a2d-simplex, the default, each with one thing taken away."""
    for control in CONTROLS:
        yield f"a2d-{control}", _aligned(replace(PROFILES["simplex"], control=control))


TERMS: dict[str, MakeTerm] = {
    **{f"a2d-{profile}": _aligned(comparison) for profile, comparison in PROFILES.items()},
    **dict(_controls()),
}
