"""On a GPU: what the CPU computes, in fewer bits where asked.

Also compiled, under DistributedDataParallel, and from the command line.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import Launcher
from test_gpu import WAYS, trainer_of
from test_torch_search import assert_same, random_text
from tiny import SHAPE, random_batch, special_ids, tiny_model, tiny_teacher
from torch.nn.parallel import DistributedDataParallel

from a2d_cli.config.rules import METHOD_TERMS
from a2d_cli.config.schema import Decoding, Distillation, Training
from a2d_cli.decoding.engine import Hypothesis
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.distillation.methods import parse_method
from a2d_cli.distillation.objective import objective_of
from a2d_cli.json_files import read_json
from a2d_cli.training import trainer as module
from a2d_cli.training.objective import Objective, TrainingStep, TranslationObjective
from a2d_cli.training.trainer import Trainer
from a2d_cli.training.update_sums import UpdateSums

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch finds")

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
SEEN = "import os; os.environ['CUDA_VISIBLE_DEVICES'] = '0'"  # by an `a2d` process


# --- losses -------------------------------------------------------------------------------------------------


def objective_on(device: torch.device, method: str) -> Objective:
    torch.manual_seed(1)
    student, teacher = tiny_model(replace(SHAPE, dropout=0.0)), tiny_teacher()
    distillation = Distillation(method=method, gradient_share=0.0)
    if not parse_method(distillation).needs_teacher:
        return TranslationObjective(student, 0.1).to(device)
    teacher.model.to(device)
    return objective_of(student, teacher, distillation, Training(label_smoothing=0.1, max_updates=100)).to(device)


@pytest.mark.parametrize("method", [name for name in METHOD_TERMS if name not in ("seq", "copy-layers")])
def test_every_method_has_the_losses_and_gradients_of_the_cpu(method):
    found = []
    for device in (CPU, CUDA):
        objective = objective_on(device, method)
        batch = random_batch([(5, 3), (2, 7), (11, 1), (4, 7)])
        objective.before_update(lambda _, batch=batch: batch, TrainingStep(1, 1))
        terms = objective(batch.to(device), TrainingStep(1, 1))
        terms.total.backward()
        gradients = {name: p.grad.cpu() for name, p in objective.named_parameters() if p.grad is not None}
        found.append(({name: float(value) for name, value in terms.parts.items()}, gradients))
    (expected, slopes), (parts, gradients) = found
    assert parts == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert gradients.keys() == slopes.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(
            gradient, slopes[name], rtol=1e-3, atol=1e-5 + 1e-3 * float(slopes[name].abs().max()), msg=name
        )


# --- updates ------------------------------------------------------------------------------------------------


def sums_of(trainer: Trainer) -> UpdateSums:
    trainer.update()
    return trainer._launched.pop().sums()


def assert_close(found: UpdateSums, expected: UpdateSums, rel: float) -> None:
    assert found.terms == pytest.approx(expected.terms, rel=rel)
    # A rounding that moves one unit of a tiny model over its ReLU's corner moves the gradient by a quarter.
    assert found.gradient_norm == pytest.approx(expected.gradient_norm, rel=0.5 if rel > 1e-3 else 2 * rel)


@pytest.mark.parametrize("way", WAYS)
def test_the_host_waits_for_nothing_in_an_update(tmp_path, monkeypatch, way):
    trainer = trainer_of(way, tmp_path, CUDA)
    trainer.update()  # what is set up at the first may wait
    monkeypatch.setitem(module.UPDATES_BEHIND, "cuda", 9)  # so that no numbers are read
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.update()
        trainer.update()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_close_to_single(tmp_path, way, precision):
    exact, half = (trainer_of(way, tmp_path, CUDA, dropout=0.0, precision=each) for each in ("fp32", precision))
    half.scaler = torch.amp.GradScaler(
        "cuda", init_scale=64.0, enabled=precision == "fp16"
    )  # not to wait for it to settle
    assert_close(sums_of(half), sums_of(exact), rel=0.04)
    assert {each.dtype for each in half.parameters} == {torch.float32}


@pytest.mark.parametrize("way", ["ce", "a2d-simplex", "cached"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_model_computes_the_same(tmp_path, way, precision):
    torch._dynamo.reset()
    plain, compiled = (
        trainer_of(way, tmp_path, CUDA, dropout=0.0, precision=precision, compile=each) for each in (False, True)
    )
    for _ in range(3):
        assert_close(sums_of(compiled), sums_of(plain), rel=1e-3 if precision == "fp32" else 0.04)
    torch._dynamo.reset()


@pytest.mark.parametrize("way", ["ce", "a2d-simplex"])
def test_distributed_data_parallel_over_nccl_computes_the_same(tmp_path, way):
    """With one rank: as many as a machine with one GPU can have."""
    torch.cuda.set_device(0)
    torch.distributed.init_process_group("nccl", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1)
    try:
        alone, parallel = (trainer_of(way, tmp_path, CUDA, dropout=0.0, accumulate=2) for _ in range(2))
        parallel.parallel = DistributedDataParallel(parallel.objective, device_ids=[0], gradient_as_bucket_view=True)
        for _ in range(3):
            assert_close(sums_of(parallel), sums_of(alone), rel=1e-4)
        del parallel
    finally:
        torch.distributed.destroy_process_group()


def test_memory_that_does_not_suffice_cuts_updates_finer(tmp_path, monkeypatch):
    trainer = trainer_of("a2d-simplex", tmp_path, CUDA)
    forward, calls = trainer.objective.forward, []

    def hungry(batch, step):
        calls.append(len(batch.src))
        if len(calls) == 1:
            torch.empty(1 << 50, device=CUDA)
        return forward(batch, step)

    monkeypatch.setattr(trainer.objective, "forward", hungry)
    trainer.update()
    assert trainer.state.pieces_found == 2 and len(calls) == 3 and sum(calls[1:]) == calls[0]


# --- search -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("lengths", [[(7, 11)], [(5, 9), (3, 13), (11, 4), (1, 6)]])
def test_a_search_finds_what_the_cpu_finds(beam, lengths):
    found: list[list[list[Hypothesis]]] = []
    batch = random_text(lengths, seed=5)
    for device in (CPU, CUDA):
        engine = TorchEngine(tiny_model(seed=2).to(device), special_ids())
        found += engine.search([batch], Decoding(beam=beam, nbest=beam))
    for ours, expected in zip(found[1], found[0], strict=True):
        assert_same(ours, expected)


# --- the command line ---------------------------------------------------------------------------------------


def test_commands_train_and_translate_on_it(a2d: Launcher, project: Path):
    def run(*arguments: str, stdin: bytes = b"") -> str:
        return a2d.well(project, *arguments, stdin=stdin, before=SEEN).out

    run("train-teacher", "--device", "cuda")
    info = read_json(project / "runs" / "teacher" / "run.json", "run")
    assert info["best"]["bleu"] > 40
    assert info["peak_gpu_memory_bytes"] > 0
    run("distill", "--method", "a2d-simplex", "--cache-teacher", "--device", "cuda")
    source = (project / "data" / "text" / "test.de").read_bytes()
    translations = [run("translate", "--device", device, stdin=source) for device in ("cuda", "cpu")]
    lines = [text.splitlines() for text in translations]
    same = sum(ours == theirs for ours, theirs in zip(*lines, strict=True))
    assert same >= len(lines[0]) - 1  # rounding decides between two that are as good as equal
    assert "BLEU" in run("score", "--device", "cuda")
