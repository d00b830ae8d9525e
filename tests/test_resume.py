"""Training that is interrupted, by a signal or by `kill -9`, ends where uninterrupted training ends: bit for bit."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from conftest import KILL_AT_RENAME, STOP_AT, Launcher, Running, settings

# Dropout, several epochs, and saves, validations and log lines that do not fall together.
SHORT = settings(
    {
        "teacher.dropout": 0.1,
        "student.dropout": 0.1,
        "training.max_updates": 45,
        "training.max_tokens": 1000,
        "training.max_sentences": 150,
        "training.warmup_updates": 10,
        "training.validate_every_updates": 11,
        "training.save_every_updates": 4,
        "training.log_every_updates": 3,
        "training.valid_sentences": 5,
        "training.decode_below_nll": 9,
        "training.average_last": 3,
        "training.best_metric": "loss",
        "distillation.calibrate_at_update": 17,
    }
)

# In the process itself, so that the moment is exact.
KILL_IN_VALIDATION = """
import os, signal
from a2d_cli.decoding.translator import Translator
def translate(self, lines, **_):
    os.kill(os.getpid(), signal.SIGKILL)
Translator.translate = translate
"""


@pytest.fixture
def rng() -> random.Random:
    seed = random.SystemRandom().randrange(10**6)
    print(f"random seed {seed}")  # shown where the test fails
    return random.Random(seed)


def metrics(run: Path) -> list[dict[str, object]]:
    """Lines of metrics.jsonl without the times."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key not in ("elapsed_s", "wps", "ups")} for row in rows]


def assert_same_run(run: Path, other: Path) -> None:
    """Weights, aligners, state and metrics are equal, bit for bit; nothing is left lying about."""
    names = {str(path.relative_to(run)) for path in run.rglob("*.safetensors")}
    assert {"last/model.safetensors", "best/model.safetensors"} < names
    assert names == {str(path.relative_to(other)) for path in other.rglob("*.safetensors")}
    for name in names:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    states = [torch.load(each / "training_state.pt", weights_only=True) for each in (run, other)]
    for state in states:
        state["state"]["elapsed_s"] = state["state"]["log"]["begun_s"] = 0.0
        state["optimizer"]["state"] = {
            f"{i}.{k}": v for i, d in state["optimizer"]["state"].items() for k, v in d.items()
        }
    for part in ("state", "scaler", "extra"):
        assert states[0][part] == states[1][part]
    for tensors, others in ((s["objective"], t["objective"]) for s, t in [states]):
        assert all(torch.equal(tensors[name], others[name]) for name in tensors)
    moments = [state["optimizer"]["state"] for state in states]
    assert all(torch.equal(moments[0][name], moments[1][name]) for name in moments[0])
    assert metrics(run) == metrics(other)
    infos = [json.loads((each / "run.json").read_text(encoding="utf-8")) for each in (run, other)]
    assert infos[0]["best"] == infos[1]["best"] and infos[1]["finished"]
    assert not list(other.rglob(".*.tmp"))


def wait_for_updates(running: Running, run: Path, seen: int) -> None:
    """Until the run has written metrics beside those that were `seen` (a time of change) before it started."""
    while running.is_alive and changed_ns(run) == seen:
        time.sleep(0.005)


def changed_ns(run: Path) -> int:
    path = run / "metrics.jsonl"
    return path.stat().st_mtime_ns if path.exists() else 0


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("teacher", ["train-teacher"]),
        ("a2d-diagonal", ["distill"]),
    ],
)
def test_killed_and_stopped_anywhere_training_ends_as_if_never_interrupted(
    a2d: Launcher, prepared: Path, taught: Path, tmp_path: Path, rng: random.Random, name: str, command: list[str]
):
    source = prepared if name == "teacher" else taught
    whole, broken = (Path(shutil.copytree(source, tmp_path / side)) for side in ("whole", "broken"))
    begun = time.monotonic()
    a2d.well(whole, *command, *SHORT)
    took = time.monotonic() - begun
    run = broken / "runs" / name

    for number in (signal.SIGINT, signal.SIGTERM):
        seen = changed_ns(run)
        running = a2d.start(broken, *command, *SHORT)
        wait_for_updates(running, run, seen)
        time.sleep(rng.uniform(0, 0.1))
        running.kill(number)
        ended = running.wait()
        assert ended.code == 128 + number
        said = ended.err.splitlines()[-1]
        assert said.startswith("stopped; ") and "Traceback" not in ended.err
        assert shlex.split(said.partition(": ")[2]) == ["a2d", *command, *SHORT]
        saved = json.loads((run / "last/config.json").read_text(encoding="utf-8"))["update"]
        assert saved > 0 and f"{name} is saved at update {saved}\n" in ended.err
        assert f"unfinished, goes on at update {saved}" in a2d.well(broken, "status").out

    kills = 0
    for before in (
        KILL_IN_VALIDATION,
        KILL_AT_RENAME.format(count=rng.randrange(1, 12), before=True),
        KILL_AT_RENAME.format(count=rng.randrange(1, 12), before=False),
        KILL_AT_RENAME.format(count=rng.randrange(1, 12), before=True),
    ):
        ended = a2d.start(broken, *command, *SHORT, before=before).wait()
        kills += ended.code == -signal.SIGKILL
    for _ in range(4):
        running = a2d.start(broken, *command, *SHORT)
        time.sleep(rng.uniform(0.2, 0.6) * took)
        if running.is_alive:
            running.kill()
        kills += running.wait().code == -signal.SIGKILL
    assert kills >= 4
    a2d.well(broken, *command, *SHORT)
    assert_same_run(whole / "runs" / name, run)
    assert "is finished" in a2d.well(broken, *command, *SHORT).err
    assert len({row["update"] for row in metrics(run) if row["event"] == "train"}) == 45 // 3


def test_what_a_method_remembers_from_update_to_update_is_resumed(
    a2d: Launcher, taught: Path, tmp_path: Path, rng: random.Random
):
    method = "word-selective+a2d-proj"
    command = ["distill", "--method", method, *SHORT, *settings({"training.max_updates": 12})]
    whole, broken = (Path(shutil.copytree(taught, tmp_path / side)) for side in ("whole", "broken"))
    a2d.well(whole, *command)
    assert a2d(broken, *command, before=STOP_AT.format(update=rng.randrange(2, 12))).code == 128 + signal.SIGTERM
    a2d.well(broken, *command)
    assert_same_run(whole / "runs" / method, broken / "runs" / method)
