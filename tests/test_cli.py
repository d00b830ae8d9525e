"""The command line itself: help without weight, exit codes, streams, and never a traceback for a person's mistake."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import COMMAND, ENVIRONMENT, Launcher

from a2d_cli import __version__
from a2d_cli.cli import explain
from a2d_cli.errors import A2DError, ConfigError

COMMANDS = [
    "prepare",
    "import",
    "train-teacher",
    "distill",
    "pseudo",
    "translate",
    "score",
    "export",
    "bench",
    "compare",
    "inspect",
    "status",
    "demo",
    "recipes",
]
HEAVY = ["torch", "numpy", "sentencepiece", "sacrebleu", "safetensors", "tensorboard", "yaml", "rich"]


def test_help_of_every_command_loads_nothing_heavy():
    """One process asks for all of them and lists what it has imported."""
    script = f"""
import contextlib, io, json, sys
from a2d_cli.cli import app
texts = {{}}
for command in {[[], *([name] for name in COMMANDS), *(["recipes", name] for name in ("list", "show", "copy"))]}:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            app([*command, "--help"], prog_name="a2d")
        except SystemExit as end:
            assert not end.code
    texts[" ".join(command)] = out.getvalue()
print(json.dumps([texts, sorted(sys.modules)]))
"""
    environment = {**os.environ, **ENVIRONMENT}
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    texts, modules = json.loads(ended.stdout)
    assert not set(HEAVY) & set(modules)
    assert all(command in texts[""] for command in COMMANDS)
    assert all(text.startswith(f"Usage: a2d {name}".rstrip()) for name, text in texts.items())
    lines = [line for text in texts.values() for line in text.splitlines() if not line.startswith("Usage")]
    assert all(len(line) <= 80 and not line.endswith("...") for line in lines)
    assert "\n  Examples: a2d prepare multi30k-ende\n            a2d prepare --train" in texts["prepare"]  # a line each


def test_the_module_is_the_command():
    environment = {**os.environ, **ENVIRONMENT}
    ended = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True, check=True, env=environment)
    assert ended.stdout == f"a2d {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["destil"], "No such command 'destil'"),
        (["train-teacher", "--sed", "1"], "No such option"),
        (["train-teacher", "--seed", "one"], "Invalid value for '--seed': "),
        (
            ["score", "-C", "demo"],
            "error: -C stands behind the command\nhint: it belongs before it: 'a2d -C DIR score …'",
        ),
        (["recipes", "list", "--project=demo"], "error: --project stands behind the command"),
        (["translate", "--beam", "0"], "Invalid value for '-b' / '--beam' / '--beam-size': "),
        (["translate", "--beam", "9" * 20], "Invalid value for '-b' / '--beam' / '--beam-size': "),
        (["translate", "--threads", "9" * 11], "Invalid value for '--threads': "),
        (["score", "--stress", "--no-speed"], "error: --no-speed: no speed is measured of files, nor by --stress"),
        (["score", "--stress", "--refresh"], "error: --refresh: nothing is cached of files, nor by --stress"),
        (["prepare", "x\udce4.yaml"], "x\\udce4.yaml"),
    ],
)
def test_wrong_usage_ends_with_2(a2d: Launcher, tmp_path: Path, arguments: list[str], said: str):
    ended = a2d(tmp_path, *arguments)
    assert ended.code == 2 and ended.out == "" and said in ended.err, ended


@pytest.mark.parametrize("command", [["train-teacher"], ["distill"], ["translate"], ["score"]])
def test_where_nothing_is_prepared_the_command_is_told(a2d: Launcher, tmp_path: Path, command: list[str]):
    said = a2d.error(tmp_path, *command, code=2)
    assert said.startswith(f"error: {tmp_path}: nothing is prepared here\nhint: run 'a2d prepare RECIPE'")
    assert not list(tmp_path.iterdir())


def test_the_project_folder_is_an_option_or_a_variable(a2d: Launcher, prepared: Path, tmp_path: Path):
    (tmp_path / "file").touch()
    assert (
        a2d.error(tmp_path, "-C", "file", "status", code=2)
        == "error: -C file: a file, not a folder\nhint: name a folder\n"
    )
    gone = "error: -C no/where: no such folder\nhint: 'a2d -C no/where prepare RECIPE' makes a project there\n"
    for command in (["status"], ["score"], ["report"], ["translate"]):
        assert a2d.error(tmp_path, "-C", "no/where", *command, code=2) == gone
    a2d.well(tmp_path, "-C", "no/where", "recipes", "list")
    by_option = a2d.well(tmp_path, "-C", str(prepared), "status").out
    assert "prepared: own-deen" in by_option
    assert (
        a2d.well(tmp_path, "status", before=f"import os; os.environ['A2D_PROJECT'] = {str(prepared)!r}").out
        == by_option
    )


def test_unknown_keys_and_wrong_types_in_the_projects_recipe(a2d: Launcher, project: Path):
    recipe = project / "a2d.yaml"
    text = recipe.read_text(encoding="utf-8")
    recipe.write_text(text.replace("warmup_updates:", "warm_up_updates:", 1), encoding="utf-8")
    assert "did you mean 'warmup_updates'?" in a2d.error(project, "train-teacher", code=2)
    recipe.write_text(text.replace("warmup_updates: 50", "warmup_updates: some", 1), encoding="utf-8")
    assert "training.warmup_updates: expected a whole number, got 'some'" in a2d.error(project, "train-teacher", code=2)


def test_json_is_json(a2d: Launcher, taught: Path):
    assert json.loads(a2d.well(taught, "status", "--json").out)["next"] == "a2d distill"
    assert "demo" in [recipe["name"] for recipe in json.loads(a2d.well(taught, "recipes", "list", "--json").out)]


def test_a_reader_that_has_seen_enough_ends_a_command_quietly(a2d: Launcher, prepared: Path):
    closed = """
import os, sys
r, w = os.pipe()
os.close(r)
os.dup2(w, 1)
sys.file, sys.stdout = sys.stdout, os.fdopen(1, "w")
"""
    for command in (["recipes", "list"], ["recipes", "show", "demo"], ["status"], ["status", "--json"]):
        ended = a2d(prepared, *command, before=closed)
        assert ended.code == 1 and ended.err == "", ended


def test_a_full_disk_behind_stdout_is_told(a2d: Launcher, prepared: Path):
    full = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1)"
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    assert "error: /dev/full: no space left on the disk" in a2d.error(prepared, "status", "--json", before=full, code=1)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_is_nobody_to_tell(a2d: Launcher, prepared: Path, name: str):
    ended = a2d.well(prepared, "status", before=f"import sys; sys.{name} = None")
    assert (ended.out == "") == (name == "stdout") and ended.err == ""


def test_an_encoding_without_a_letter_shows_it_by_its_number(a2d: Launcher, prepared: Path):
    ascii_alone = "import sys; sys.stdout.reconfigure(encoding='ascii')"
    said = "from a2d_cli.commands import status; status.list_runs = lambda _: print('Δ BLEU') or []"
    assert a2d.well(prepared, "status", before=f"{ascii_alone}\n{said}").out.startswith("\\u0394 BLEU\n")


def test_the_other_direction_needs_other_data(a2d: Launcher, taught_project: Path):
    project = taught_project
    recipe = project / "a2d.yaml"
    text = recipe.read_text(encoding="utf-8")
    assert "\npair: de-en" in text
    recipe.write_text(text.replace("\npair: de-en", "\npair: en-de"), encoding="utf-8")
    for command in (["train-teacher"], ["distill"], ["score"], ["export"], ["compare", "--methods", "ce"]):
        said = a2d.error(project, *command, code=2)
        assert "a2d.yaml: pair: en-de, but the data were prepared as de-en\nhint: write de-en there again" in said


def test_ctrl_c_ends_with_130(a2d: Launcher, prepared: Path):
    interrupted = (
        "import os, signal; from a2d_cli.commands import status\n"
        "status.list_runs = lambda _: os.kill(os.getpid(), signal.SIGINT)"
    )
    ended = a2d(prepared, "status", before=interrupted)
    assert (ended.code, ended.out, ended.err) == (130, "", "")


def test_a_bug_of_ours_is_shown_in_full_and_a_mistake_only_when_asked(a2d: Launcher, prepared: Path):
    bug = "from a2d_cli.commands import status\nstatus.list_runs = lambda _: 1 / 0"
    ended = a2d.start(prepared, "status", before=bug).wait()
    assert ended.code == 1 and "Traceback" in ended.err and "ZeroDivisionError" in ended.err
    ended = a2d.start(prepared, "distill", before="import os; os.environ['A2D_DEBUG'] = '1'").wait()
    assert ended.code == 1 and "Traceback" in ended.err and "a2d train-teacher" in ended.err


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ConfigError("x: wrong", "y"), "x: wrong | hint: y"),
        (OSError(errno.ENOSPC, "No space left on device", "/somewhere/x"), "/somewhere/x: no space left on the disk"),
        (OSError(errno.EIO, "Input/output error", "/x"), "/x: Input/output error"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "/x"), "/x: No such file or directory"),
        (OSError("odd"), ": odd"),
        (MemoryError(), "out of memory: "),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), "out of memory: "),
        (
            UnicodeEncodeError("utf-8", "a\udce4b", 1, 2, "surrogates not allowed"),
            "'a\\udce4b': not UTF-8 | hint: rename",
        ),
        (RuntimeError("size mismatch"), None),
        (KeyError("x"), None),
    ],
)
def test_errors_in_words(error: Exception, message: str | None):
    told = explain(error)
    if message is None:
        assert told is None
    else:
        assert isinstance(told, A2DError) and message in str(told)
