"""What the tests of whole commands share: real `a2d` processes, a small project, and a teacher trained in it.

The language of the project is invented: its words have an exact translation, which stands in reverse order. A tiny
model learns it in seconds, and only by learning where to look.
"""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.forkserver
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before torch loads: tests run beside each other and beside other work, where two threads that wait for each other
# starve.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import a2d_cli

ROOT = Path(a2d_cli.__file__).resolve().parents[1]
# One thread, so that tests can run beside each other; and no tests of the machine that runs them.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent)]),
    "CUDA_VISIBLE_DEVICES": "",
    "GLOO_SOCKET_IFNAME": "lo",
}
if sys.platform == "darwin":
    ENVIRONMENT |= {"GLOO_SOCKET_IFNAME": "lo0", "OBJC_DISABLE_INITIALIZE_FORK_SAFETY": "YES"}
COMMAND = [sys.executable, "-m", "a2d_cli"]

# Loading torch takes seconds: one process does it, and forks for every command.
_forks = multiprocessing.get_context("forkserver")
_LOADED_ONCE = [
    "a2d_cli.cli",
    "pytest",
    "conftest",
    "a2d_cli.commands.distill",
    "a2d_cli.commands.prepare",
    "a2d_cli.commands.score",
    "a2d_cli.commands.train_teacher",
    "a2d_cli.commands.translate",
    "torch._dynamo",
    "torch.utils.tensorboard",
]

# So small that a process is done in a second, and enough to learn the invented language.
RECIPE = {
    "teacher.norm": "post",  # as MarianMT has it
    "student.norm": "post",
    "tokenizer.vocab_size": 80,
    **{
        f"teacher.{key}": value
        for key, value in {"d_model": 32, "num_heads": 2, "ffn_dim": 48, "encoder_layers": 1}.items()
    },
    **{
        f"student.{key}": value
        for key, value in {"d_model": 24, "num_heads": 3, "ffn_dim": 40, "encoder_layers": 1}.items()
    },
    "teacher.decoder_layers": 2,
    "teacher.dropout": 0.0,
    "student.decoder_layers": 1,
    "student.dropout": 0.0,
    "training.lr": 6e-3,
    "training.schedule": "inverse_sqrt_cooldown",
    "training.warmup_updates": 50,
    "training.max_updates": 250,
    "training.max_tokens": 400,
    "training.label_smoothing": 0.0,
    "training.validate_every_updates": 125,
    "student_training.max_updates": 160,
    "student_training.validate_every_updates": 80,
}


def settings(values: dict[str, object]) -> list[str]:
    """`--set` options."""
    return [text for key, value in values.items() for text in ("--set", f"{key}={value}")]


# Around the renaming that makes a file be there: `count` renamings, then death before or after the last of them.
KILL_AT_RENAME = """
import os, signal
rename, left = os.replace, [{count}]
def replace(source, target):
    left[0] -= 1
    if left[0] == 0 and {before}:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(source, target)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
"""
# Told to stop in the middle of an update, for `Launcher`'s `before`.
STOP_AT = """
import os, signal
from a2d_cli.training.trainer import Trainer
backward = Trainer._backward
def stopping(self, indices, step):
    if step.update == {update}:
        os.kill(os.getpid(), signal.SIGTERM)
    return backward(self, indices, step)
Trainer._backward = stopping
"""
# A student in three updates, where it need not be good.
QUICK = settings(
    {
        "training.max_updates": 3,
        "training.log_every_updates": 1,
        "training.schedule": "inverse_sqrt",
        "training.decode_below_nll": 0,
        "training.average_last": 0,
    }
)


ENDED = {"stop_reason": "reached max_updates = 0", "updates": 0, "elapsed_s": 0.0}


def prepared_as(*tests: str) -> dict[str, object]:
    """What project.json says of prepared data."""
    names = ("data_fingerprint", "tokenizer_fingerprint", "recipe")
    return {"pair": "de-en", "tests": [*tests], "steps": {}, "asked": {}, **dict.fromkeys(names, "mine")}


def edit(path: Path, change: Callable[[dict], object]) -> None:
    """Change the values of a JSON file."""
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


@dataclass(frozen=True)
class Ended:
    """A process that has ended; a negative code is the signal that killed it."""

    code: int
    out: str
    err: str


class Running:
    """A real process that is an `a2d` command."""

    def __init__(self, arguments: list[str], folder: Path, streams: Path, stdin: bytes, before: str):
        self.err_path, self._out_path = streams / "err", streams / "out"
        (streams / "in").write_bytes(stdin)
        self._process = _forks.Process(target=_become_a2d, args=(arguments, str(folder), str(streams), before))
        self._process.start()

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self._process.pid, number)

    @property
    def is_alive(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float = 120.0) -> Ended:
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            pytest.fail(f"still running after {seconds} s: {self.err_path.read_text(encoding='utf-8')}")
        texts = (path.read_text(encoding="utf-8") for path in (self._out_path, self.err_path))
        return Ended(self._process.exitcode, *texts)


def _become_a2d(arguments: list[str], folder: str, streams: str, before: str) -> None:
    """In the new process: run the command line with files for its streams.

    Args:
        before: Python to execute first: what makes a machine fail.
    """
    for descriptor, (name, flags) in enumerate((("in", os.O_RDONLY), ("out", os.O_WRONLY), ("err", os.O_WRONLY))):
        os.dup2(os.open(f"{streams}/{name}", flags | os.O_CREAT), descriptor)
    sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `pytest &` would have it ignored
    os.chdir(folder)
    sys.argv = ["a2d", *arguments]
    exec(before, {})  # noqa: S102  # the tests' own text

    from a2d_cli.cli import main

    main()


class Launcher:
    """Starts commands and knows a place for their streams."""

    def __init__(self, folder: Path):
        self._folder, self._count = folder, 0

    def start(self, folder: Path, *arguments: str, stdin: bytes = b"", before: str = "") -> Running:
        """Start `a2d ARGUMENTS` in `folder`."""
        self._count += 1
        streams = self._folder / str(self._count)
        streams.mkdir()
        return Running(list(arguments), folder, streams, stdin, before)

    def __call__(self, folder: Path, *arguments: str, stdin: bytes = b"", before: str = "") -> Ended:
        """Run `a2d ARGUMENTS` in `folder` to its end. No ending may show a traceback."""
        ended = self.start(folder, *arguments, stdin=stdin, before=before).wait()
        assert "Traceback" not in ended.err, ended.err
        return ended

    def well(self, folder: Path, *arguments: str, stdin: bytes = b"", before: str = "") -> Ended:
        """Run a command that must succeed."""
        ended = self(folder, *arguments, stdin=stdin, before=before)
        assert ended.code == 0, ended.err
        return ended

    def error(self, folder: Path, *arguments: str, stdin: bytes = b"", before: str = "", code: int) -> str:
        """Run a command that must fail with `code`; returns what it said: its error and its hint."""
        ended = self(folder, *arguments, stdin=stdin, before=before)
        assert ended.code == code, ended
        assert "error: " in ended.err, ended
        return ended.err[ended.err.index("error: ") :]


@pytest.fixture(autouse=True)
def signals_are_left_as_they_were():
    """Else a later test, in which one arrives, ends this whole process without a word."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    left = {number: signal.getsignal(number) for number in numbers}
    for number, handler in before.items():
        signal.signal(number, handler)
    assert left == before


@pytest.fixture(scope="session")
def a2d(tmp_path_factory: pytest.TempPathFactory) -> Launcher:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("A2D_")]:
            patch.delenv(name)
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        _forks.set_forkserver_preload(_LOADED_ONCE)
        multiprocessing.forkserver.ensure_running()
    return Launcher(tmp_path_factory.mktemp("streams"))


def write_language(folder: Path, sizes: dict[str, int], seed: int = 11) -> None:
    """Parallel text of an invented language: `NAME.de` and `NAME.en`, all pairs different."""
    rng = random.Random(seed)
    syllables = [consonant + vowel for consonant in "bdfgklmnprst" for vowel in "aeiou"]
    rng.shuffle(syllables)
    words = ["".join(pair) for pair in zip(syllables[0:46:2], syllables[1:46:2], strict=True)]
    lexicon = {word: word[::-1].upper() for word in words}
    pairs: dict[str, str] = {}
    while len(pairs) < sum(sizes.values()):
        sentence = rng.choices(words, k=rng.randint(2, 6))
        pairs[" ".join(sentence)] = " ".join(lexicon[word] for word in reversed(sentence))
    remaining = iter(pairs.items())
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in sizes.items():
        sources, targets = zip(*(next(remaining) for _ in range(size)), strict=True)
        for lang, lines in (("de", sources), ("en", targets)):
            (folder / f"{name}.{lang}").write_text("".join(line + "\n" for line in lines), encoding="utf-8")


def own_files(folder: Path) -> list[str]:
    """The options of `a2d prepare` for text that `write_language` wrote."""
    return [
        argument
        for name in ("train", "valid", "test")
        for argument in (f"--{name}", str(folder / f"{name}.de"), str(folder / f"{name}.en"))
    ]


@pytest.fixture(scope="session")
def prepared(a2d: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared project. Read it; a test that changes it takes `project`."""
    text, folder = tmp_path_factory.mktemp("text"), tmp_path_factory.mktemp("prepared")
    write_language(text, {"train": 2500, "valid": 29, "test": 37})
    a2d.well(folder, "prepare", *own_files(text), "--pair", "de-en", *settings(RECIPE))
    return folder


@pytest.fixture(scope="session")
def taught(a2d: Launcher, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a teacher that knows the language. Read it; a test that changes it takes `taught_project`."""
    folder = tmp_path_factory.mktemp("taught") / "project"
    shutil.copytree(prepared, folder)
    a2d.well(folder, "train-teacher")
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared, tmp_path / "project"))


@pytest.fixture
def taught_project(taught: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(taught, tmp_path / "project"))
