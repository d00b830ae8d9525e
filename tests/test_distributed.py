"""Several processes train as one: the same batches give the same losses and the same weights, to rounding."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import ENVIRONMENT, Ended, Launcher, Running, settings
from safetensors.torch import load_file

from a2d_cli.errors import ConfigError
from a2d_cli.training.distributed import World, choose_device

SHORT = {
    "training.max_updates": 9,
    "training.max_sentences": 5,
    "training.log_every_updates": 1,
    "training.validate_every_updates": 5,
    "training.decode_below_nll": 0,
    "training.average_last": 0,
    # A key's bias has no gradient but rounding errors, which a smaller eps would turn into steps of full size.
    "training.adam_eps": 1e-5,
    "distillation.calibrate_at_update": 3,
}
BECOME_RANK = """
import os
os.environ.update(
    RANK="{rank}", LOCAL_RANK="{rank}", WORLD_SIZE="{size}", LOCAL_WORLD_SIZE="{size}",
    MASTER_ADDR="127.0.0.1", MASTER_PORT="{port}",
)
"""
KINDS = ("encoder_self", "decoder_self", "cross")
COMMANDS = {
    "ce": ["distill", "--method", "ce"],
    "a2d-diagonal": ["distill", "--method", "a2d-diagonal"],
    # Attention is left out from update 7 on.
    "a2d-masked": ["distill", "--method", "a2d-masked", "--set", "distillation.half_life=0.09"],
    "word-selective+a2d-proj": ["distill", "--method", "word-selective+a2d-proj"],
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_ranks(a2d: Launcher, size: int, folder: Path, *arguments: str) -> list[Running]:
    """The processes and the environment that torchrun makes, without its two seconds."""
    port = free_port()
    before = [BECOME_RANK.format(rank=rank, size=size, port=port) for rank in range(size)]
    return [a2d.start(folder, *arguments, before=each) for each in before]


def run_ranks(a2d: Launcher, size: int, folder: Path, *arguments: str) -> list[Ended]:
    ended = [rank.wait() for rank in start_ranks(a2d, size, folder, *arguments)]
    assert not any("Traceback" in rank.err for rank in ended), ended
    return ended


def rows(run: Path, event: str) -> list[dict[str, float]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in map(json.loads, lines) if row["event"] == event]


def assert_same_training(run: Path, other: Path) -> None:
    ours, theirs = rows(run, "train"), rows(other, "train")
    assert [row["update"] for row in ours] == [row["update"] for row in theirs] == list(range(1, 10))
    for row, same in zip(ours, theirs, strict=True):
        assert row.keys() == same.keys()
        for name in row.keys() - {"event", "wps", "ups", "elapsed_s"}:
            assert same[name] == pytest.approx(row[name], rel=1e-4), name
    assert [row["loss"] for row in rows(other, "valid")] == pytest.approx(
        [row["loss"] for row in rows(run, "valid")], rel=1e-4
    )
    for name in ["last/model", *(path.stem for path in run.glob("aligner.*"))]:
        weights, same = (load_file(each / f"{name}.safetensors") for each in (run, other))
        assert weights.keys() == same.keys()
        for key in weights.keys() - {f"{kind}.bias" for kind in KINDS}:  # an aligner's bias has no gradient either
            torch.testing.assert_close(same[key], weights[key], rtol=1e-4, atol=2e-5)


@pytest.fixture(scope="module")
def alone(a2d: Launcher, taught: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which one process has trained by each method."""
    folder = Path(shutil.copytree(taught, tmp_path_factory.mktemp("alone") / "project"))
    for command in COMMANDS.values():
        a2d.well(folder, *command, *settings(SHORT))
    return folder


@pytest.mark.parametrize(
    ("method", "ranks", "accumulate"),
    [
        ("ce", 1, 3),
        ("a2d-masked", 2, 1),
        ("a2d-diagonal", 2, 3),  # six shares of at most five pairs: some are empty
        ("word-selective+a2d-proj", 2, 3),
        ("ce", 7, 1),  # more ranks than pairs
    ],
)
def test_shares_of_a_batch_train_as_the_whole(
    a2d: Launcher, alone: Path, taught_project: Path, method: str, ranks: int, accumulate: int
):
    command = [*COMMANDS[method], *settings({**SHORT, "training.accumulate": accumulate})]
    if ranks == 1:
        a2d.well(taught_project, *command)
    else:
        ended = run_ranks(a2d, ranks, taught_project, *command)
        assert [rank.code for rank in ended] == [0] * ranks, ended
        assert "finished: reached max_updates = 9" in ended[0].err
        assert [rank.err for rank in ended[1:]] == [""] * (ranks - 1)  # one voice
    assert_same_training(alone / "runs" / method, taught_project / "runs" / method)


def test_torchrun_starts_the_ranks(alone: Path, taught_project: Path):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    address = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    two = {**SHORT, "training.max_updates": 2, "training.validate_every_updates": 2}
    ended = subprocess.run(
        [*launcher, *address, "-m", "a2d_cli", *COMMANDS["ce"], *settings(two)],
        cwd=taught_project,
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("finished: reached max_updates = 2") == 1  # one voice: of the two, one has the first rank
    found, expected = (rows(folder / "runs" / "ce", "train") for folder in (taught_project, alone))
    # The loss behind the first step: the learning rate of the second is that of the schedule's own end.
    losses = [[row["loss"] for row in each[:2]] for each in (found, expected)]
    assert len(found) == 2 and losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_all_ranks_stop_when_one_is_told_to_and_go_on_together(a2d: Launcher, project: Path, tmp_path: Path):
    whole = Path(shutil.copytree(project, tmp_path / "whole"))
    command = [
        "train-teacher",
        *settings({**SHORT, "teacher.dropout": 0.1, "training.max_updates": 40, "training.validate_every_updates": 40}),
    ]
    assert [rank.code for rank in run_ranks(a2d, 2, whole, *command)] == [0, 0]
    ranks = start_ranks(a2d, 2, project, *command)
    metrics = project / "runs" / "teacher" / "metrics.jsonl"
    while ranks[0].is_alive and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.01)
    ranks[1].kill(signal.SIGTERM)
    ended = [rank.wait() for rank in ranks]
    assert [rank.code for rank in ended] == [143, 143], ended
    assert "goes on with: torchrun --nproc-per-node 2 --no-python a2d train-teacher" in ended[0].err
    assert ended[1].err == ""
    assert [rank.code for rank in run_ranks(a2d, 2, project, *command)] == [0, 0]
    weights = [(each / "runs/teacher/last/model.safetensors").read_bytes() for each in (whole, project)]
    assert weights[0] == weights[1]
    # What rank 0 finds wrong ends all, and is said once.
    ended = run_ranks(a2d, 2, project, *command, "--set", "training.lr=0.5")
    assert [rank.code for rank in ended] == [2, 2]
    assert "run 'teacher' exists with other settings: training.lr: 0.006 -> 0.5" in ended[0].err
    assert ended[1].err == ""


SEEN_BY_TORCH = """
import os, sys

class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":  # whose threads read their settings when it is loaded, and never again
            print(*(os.environ.get(name) for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Watcher())
sys.argv = ["a2d", "train-teacher"]
from a2d_cli.cli import main
main()
"""


@pytest.mark.parametrize(("told", "seen"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_that_wait_sleep_unless_their_user_wants_them_to_spin(prepared: Path, told: dict[str, str], seen: str):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {**ENVIRONMENT, "OMP_NUM_THREADS": "3", **told}
    command = [sys.executable, "-c", SEEN_BY_TORCH]
    ended = subprocess.run(command, cwd=prepared, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{seen} 3\n"  # and as many of them as its user said


def test_one_process_is_a_world_of_its_own():
    world = World()
    assert world.is_main and world.on_main(lambda: 7) == 7
    assert world.any_rank(True, torch.device("cpu")) and not world.any_rank(False, torch.device("cpu"))
    assert world.sum(torch.ones(3)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda1", ""])
def test_a_device_is_named_right(name: str):
    with pytest.raises(ConfigError, match=f"'{name}' is no device .*auto, cpu, cuda or cuda:N"):
        choose_device(name)


def test_a_gpu_that_is_not_there(a2d: Launcher, prepared: Path):
    said = a2d.error(prepared, "train-teacher", "--device", "cuda", code=1)
    assert said.startswith("error: device 'cuda' is asked for, but torch ")
    assert "finds 0 GPUs\nhint: use --device cpu, or install a CUDA build of torch" in said


def test_one_gpu_for_all_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(
        ConfigError, match="'cuda:0' would be the GPU of all processes .*--device cuda gives each its own"
    ):
        choose_device("cuda:0")
