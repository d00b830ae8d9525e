"""What a GPU asks of training, held without one: the host never waits inside an update, losses are taken in fp32."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import SHAPE, ListCorpus, special_ids, tiny_model, tiny_teacher
from torch.utils._python_dispatch import TorchDispatchMode

import a2d_cli
from a2d_cli.config.schema import Distillation, Training
from a2d_cli.data.batching import BatchPlan, BatchSettings
from a2d_cli.distillation.cache_filling import CacheRequest, cached_or_live
from a2d_cli.distillation.cached_teacher import CachedTeacher
from a2d_cli.distillation.methods import TERMS
from a2d_cli.distillation.objective import DistillationObjective
from a2d_cli.model.transformer import Transformer
from a2d_cli.project.run import Run
from a2d_cli.reporting import Reporter
from a2d_cli.training import trainer as module
from a2d_cli.training.distributed import World
from a2d_cli.training.objective import Objective, RunContext, TranslationObjective
from a2d_cli.training.trainer import Trainer

PACKAGE = Path(a2d_cli.__file__).parent
CPU, META = torch.device("cpu"), torch.device("meta")
WAYS = ("ce", "word", "word-selective", *TERMS, "cached", "cached-topk")
LENGTHS = [(5, 3), (2, 7), (11, 1), (4, 6), (6, 5)]
LATE = 100  # an update behind all calibration, which reads norms


class Text(ListCorpus):
    fingerprint = "of a text"


def plan() -> BatchPlan:
    return BatchPlan(Text(LENGTHS), special_ids(), BatchSettings(max_tokens=47), seed=1)


def objective_of(way: str, folder: Path, dropout: float = 0.1) -> Objective:
    student = tiny_model(replace(SHAPE, dropout=dropout))
    if way == "ce":
        return TranslationObjective(student, 0.1)
    teacher = tiny_teacher()
    if way.startswith("cached"):
        mode = "topk" if way == "cached-topk" else "states"
        request = CacheRequest(mode, 5, True, True, folder, "random", "a teacher", "a text")
        teacher = cached_or_live(teacher, request, RunContext(plan(), CPU, World(), Reporter(), ""))
        assert isinstance(teacher, CachedTeacher)
        way = "a2d-simplex"
    return DistillationObjective(student, teacher, Distillation(method=way), 0.1, max_updates=1000, seed=1)


def trainer_of(way: str, folder: Path, device: torch.device = CPU, dropout: float = 0.1, **settings: Any) -> Trainer:
    """It has no validator, and `ids` for a tokenizer: enough for updates."""
    objective = objective_of(way, folder, dropout)
    if isinstance(objective, DistillationObjective):
        objective._teacher[0].model.to(device)  # as `distill` does
    training = Training(clip_norm=0.5, **settings)
    context = RunContext(plan(), device, World(), Reporter(), "")
    trainer = Trainer(Run(folder), objective, context, None, special_ids(), training, "xx-yy")
    trainer.state.update = LATE
    return trainer


class HostWaits(TorchDispatchMode):
    """Within a block: what would make the host wait for a GPU, and the lines of the package that ask for it."""

    ALWAYS = (
        "_local_scalar_dense",
        "nonzero",
        "masked_select",
        "is_nonzero",
        "equal",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
    )
    INDEXING = ("index", "index_put", "index_put_", "_index_put_impl_")  # by a mask: its True places are looked for

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        waits = name in self.ALWAYS
        if name in self.INDEXING:
            waits = any(isinstance(x, torch.Tensor) and x.dtype in (torch.bool, torch.uint8) for x in args[1])
        if name == "repeat_interleave":
            waits = function._overloadname == "Tensor" and (kwargs or {}).get("output_size") is None
        if name in ("_to_copy", "copy_"):
            waits = self._is_waiting_copy(name, args, kwargs or {})
        if waits:
            self.found.add(f"{name} at {self._place()}")
        return function(*args, **(kwargs or {}))

    @staticmethod
    def _is_waiting_copy(name: str, args: Any, kwargs: Any) -> bool:
        """From one device to another, and not asked to be non_blocking."""
        if name == "copy_":
            return args[0].device != args[1].device and not (kwargs.get("non_blocking") or args[2:3] == (True,))
        device = torch.device(kwargs.get("device") or args[0].device)
        return device != args[0].device and not kwargs.get("non_blocking")

    @staticmethod
    def _place() -> str:
        frame = sys._getframe()
        while frame is not None:
            path = Path(frame.f_code.co_filename)
            if PACKAGE in path.parents:
                return f"{path.relative_to(PACKAGE).as_posix()}:{frame.f_lineno}"
            frame = frame.f_back
        return "outside the package"


@pytest.mark.parametrize(
    ("work", "name"),
    [
        (lambda x: float(x.sum()), "_local_scalar_dense"),
        (lambda x: bool((x > 0).all()), "_local_scalar_dense"),
        (lambda x: x[x > 0], "index"),
        (lambda x: x.masked_select(x > 0), "masked_select"),
        (lambda x: (x > 0).nonzero(), "nonzero"),
        (lambda x: x.repeat_interleave(torch.ones(3, dtype=torch.int64)), "repeat_interleave"),
        (lambda x: x.unique(), "_unique2"),
        (lambda x: x.to("meta"), "_to_copy"),
        (lambda x: torch.empty(3, device="meta").copy_(x), "copy_"),
        (lambda x: x.to("meta", non_blocking=True), None),
        (lambda x: x.masked_fill(x > 0, 1.0), None),
        (lambda x: x.index_select(0, torch.arange(2)), None),
    ],
)
def test_waits_are_seen(work, name):
    with HostWaits() as waits:
        work(torch.randn(3))
    assert {each.partition(" at ")[0] for each in waits.found} == ({name} if name else set())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_host_waits_for_nothing_in_an_update(tmp_path, monkeypatch, way, accumulate):
    trainer = trainer_of(way, tmp_path, accumulate=accumulate)
    monkeypatch.setitem(module.UPDATES_BEHIND, "cpu", 2)  # so that no numbers are read
    with HostWaits() as waits:
        trainer.update()
        trainer.update()
    assert not waits.found


class Unread:
    """In the place of an update's numbers."""

    def __init__(self, update, terms, num_tokens, gradient_norm, told_to_stop):
        self.num_tokens = num_tokens
        self.devices = {each.device.type for each in (*terms.values(), gradient_norm, told_to_stop)}


@pytest.mark.parametrize("way", WAYS)
def test_an_update_runs_on_a_device_whose_numbers_cannot_be_read(tmp_path, monkeypatch, way):
    """Nothing lies on the wrong device, and nothing is copied back: torch raises where it would be."""
    monkeypatch.setitem(module.UPDATES_BEHIND, "meta", 2)
    monkeypatch.setattr(module, "LaunchedUpdate", Unread)
    # What torch does not know for this device.
    monkeypatch.setattr(module, "make_adam", lambda parameters, settings: torch.optim.SGD(parameters, settings.lr))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda _: False)
    trainer = trainer_of(way, tmp_path, META, precision="fp32")
    with HostWaits() as waits:
        trainer.update()
        trainer.update()
    assert not waits.found
    assert [each.devices for each in trainer._launched] == [{"meta"}] * 2


class FineOperations(TorchDispatchMode):
    """Within a block: the number formats in which exponentials and logarithms are taken."""

    NAMES = ("exp", "log", "_softmax", "_log_softmax", "logsumexp", "logaddexp", "xlogy")

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[str, torch.dtype]] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        if (name := function.overloadpacket.__name__.rstrip("_")) in self.NAMES:
            self.found.add((name, made.dtype))
        return made


@pytest.mark.parametrize("way", ["ce", "word", "a2d-masked", "a2d-simplex", "cached", "cached-topk"])
def test_in_half_precision_losses_are_taken_in_single(tmp_path, monkeypatch, way):
    monkeypatch.setitem(module.UPDATES_BEHIND, "cpu", 1)  # so that the numbers can be looked at
    exact, half = (trainer_of(way, tmp_path, precision=precision) for precision in ("fp32", "bf16"))
    products: set[torch.dtype] = set()
    attend = half.model.encoder_layers[0].self_attention.q_proj.register_forward_hook(
        lambda module, given, made: products.add(made.dtype)
    )
    with FineOperations() as fine:
        half.update()
    attend.remove()
    exact.update()
    assert products == {torch.bfloat16}  # it is half precision
    assert {dtype for _, dtype in fine.found} == {torch.float32}
    assert {"_softmax", "log"} <= {name for name, _ in fine.found}
    sums, expected = (each._launched.pop().sums() for each in (half, exact))
    assert sums.terms.keys() == expected.terms.keys() and "nll" in sums.terms
    for name, value in expected.terms.items():
        assert sums.terms[name] == pytest.approx(value, rel=0.03), name
    assert sums.gradient_norm == pytest.approx(expected.gradient_norm, rel=0.05)
    assert {each.dtype for each in half.parameters} == {
        each.grad.dtype for each in half.parameters if each.grad is not None
    }


def test_a_compiled_model_is_one_graph_whatever_the_sizes_of_a_batch(tmp_path, monkeypatch):
    """No line of the model breaks it, as a wait for the device would."""
    lengths = [(src, tgt) for src in range(1, 12) for tgt in range(1, 9)]
    graphs = []

    def keep(graph, inputs):
        graphs.append(graph)
        return graph.forward

    # Inductor would take a minute; and a GPU has torch's own dropout.
    compile_model = torch.nn.Module.compile
    monkeypatch.setattr(
        Transformer, "compile", lambda self, **options: compile_model(self, backend=keep, fullgraph=True, **options)
    )
    for name in ("a2d_cli.model.transformer.dropout", "a2d_cli.model.attention.drop"):
        monkeypatch.setattr(name, torch.nn.functional.dropout)
    monkeypatch.setitem(globals(), "LENGTHS", lengths)
    torch._dynamo.reset()
    trainer = trainer_of("a2d-simplex", tmp_path, compile=True)
    for _ in range(7):
        trainer.update()
    assert len(graphs) == 1 and len(plan().epoch(1)) > 7
    torch._dynamo.reset()
