"""A term of one's own: a class and a line in `TERMS`, and what the rest asks of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from test_distillation_objective import make, parts_of
from tiny import SHAPE, part_of, random_batch, tiny_model
from torch import nn

import a2d_cli
from a2d_cli.commands.inspect_run import _aligners
from a2d_cli.config.schema import Distillation
from a2d_cli.distillation.methods import TERMS, parse_method, settings_that_count
from a2d_cli.distillation.teachers import Teacher, TeacherShapes
from a2d_cli.distillation.terms import Term, TermContext, TermInputs
from a2d_cli.errors import ConfigError
from a2d_cli.training.objective import LossTerms

PACKAGE = Path(a2d_cli.__file__).parent


class Own(Term):
    """A trained number for each target token."""

    reads = ("row_floor",)
    uses_maps = False

    def __init__(self, context: TermContext):
        super().__init__()
        self.number = nn.Parameter(torch.tensor(context.settings.row_floor))

    def forward(self, inputs: TermInputs) -> LossTerms:
        total = self.number * inputs.batch.num_tgt_tokens
        return LossTerms(total, {"own": total})


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> type[Own]:
    """Of this test alone, whatever it sets."""

    class OfATest(Own):
        pass

    monkeypatch.setitem(TERMS, "own", OfATest)
    return OfATest


def test_a_class_says_what_a_method_must_know(own: type[Own]):
    settings = Distillation(method="own@row_floor=0.5", row_floor=0.5)
    method = parse_method(settings)
    assert (method.name, method.needs_maps, method.needs_hidden) == ("own@row_floor=0.5", False, False)
    assert settings_that_count(settings)["row_floor"] == 0.5 and "cross" not in settings_that_count(settings)
    parts = parts_of(make("ce+own", row_floor=0.5), random_batch())
    assert parts["attn_own"] == 0.5 * random_batch().num_tgt_tokens


def test_a_variant_is_a_class_too(own: type[Own], monkeypatch: pytest.MonkeyPatch):
    class Ridged(own):
        reads = ("ridge",)

    monkeypatch.setitem(TERMS, "ridged", Ridged)
    counted = settings_that_count(Distillation(method="ridged"))
    assert "ridge" in counted and "row_floor" not in counted


def test_what_takes_one_teacher_says_so_on_its_class(own: type[Own]):
    several = Distillation(method="own", teacher="a,b")
    parse_method(several)
    own.one_teacher = True
    with pytest.raises(ConfigError, match="'a,b' are several teachers, own takes one"):
        parse_method(several)
    with pytest.raises(AssertionError, match="a term that asks for it says one_teacher = True"):
        TeacherShapes((SHAPE, SHAPE)).shape  # noqa: B018


def test_a_method_can_be_cut_where_all_its_terms_can(own: type[Own], monkeypatch: pytest.MonkeyPatch):
    known = {name for name in TERMS if not parse_method(Distillation(method=name)).can_be_cut}
    assert (
        known == {"a2d-shuffled", "a2d-diagonal-shuffled"} and parse_method(Distillation(method="own+a2d")).can_be_cut
    )
    assert make("own+a2d").can_be_cut and not make("own+a2d-shuffled").can_be_cut
    own.can_be_cut = False
    assert not make("own+a2d").can_be_cut and not make("a2d-release").can_be_cut


def test_only_alignments_are_saved_as_aligners(own: type[Own]):
    saved = {name for term in TERMS for name in make(term).helper_modules()}
    aligning = [term.removeprefix("a2d-") for term in TERMS if term.startswith("a2d-")]
    assert aligning and saved == {*(f"aligner.{term}" for term in aligning), "projection.hidden", "module.own"}
    both = make("own+a2d-proj")
    assert {aligned.term for aligned in _aligners(both, both.method)} == {"proj"}


@torch.no_grad()
def test_the_term_that_the_documentation_shows_is_complete(monkeypatch: pytest.MonkeyPatch):
    """Sums over sentences like any other, to which padding is nothing; of an equal teacher nothing is to be learned."""
    guide = (PACKAGE / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), names)  # noqa: S102
    monkeypatch.setitem(TERMS, "mean-maps", names["MeanMaps"])
    objective, batch = make("ce+mean-maps"), random_batch()
    together = parts_of(objective, batch)
    alone = [parts_of(objective, part_of(batch, row)) for row in range(len(batch.src))]
    maps = [name for name in together if name.startswith("attn_")]
    assert len(maps) == 3 and all(together[name] > 0 for name in maps)
    assert together == {name: pytest.approx(sum(parts[name] for parts in alone), rel=1e-4) for name in together}
    equal = parts_of(make("ce+mean-maps", tiny_model(), Teacher(tiny_model())), batch)
    assert [equal[name] for name in maps] == pytest.approx([0, 0, 0], abs=1e-6)
