"""`a2d translate` as a filter and a prompt: N lines in, N × nbest lines out, in order, as soon as they can be known."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import ENVIRONMENT, Launcher, edit
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from listener import Listener

from a2d_cli.commands.translate import _form, translate_stream
from a2d_cli.config import schema
from a2d_cli.config.schema import Decoding
from a2d_cli.data.tokenizer import train_tokenizer
from a2d_cli.decoding.translator import Translation
from a2d_cli.errors import A2DError
from a2d_cli.files import sha256_file, write_json
from a2d_cli.reporting import Reporter


def translate(a2d: Launcher, folder: Path, text: bytes, *options: str) -> list[str]:
    out = a2d.well(folder, "translate", *options, stdin=text).out
    assert out.endswith("\n") or not out
    return out.split("\n")[:-1]


# The stream alone, with a translator that needs no model


class Echo:
    """Says each line's number of characters and the line; nothing of an empty one."""

    settings = Decoding(batch_sentences=3)
    max_source_tokens, source_limit = 11, "decoding.max_source_tokens"

    def translate(self, lines, on_cut):
        for i, line in enumerate(lines):
            if len(line) > self.max_source_tokens:
                on_cut(i, len(line))
        return [[Translation(f"{len(line)} {line}" if line else "", -0.5)] for line in lines]


class Pipe:
    """Gives its bytes in pieces of the sizes given, then to the end."""

    def __init__(self, data: bytes, sizes: list[int]):
        self.data, self.sizes = data, sizes

    def read1(self, size: int) -> bytes:
        size = self.sizes.pop(0) if self.sizes else size
        piece, self.data = self.data[:size], self.data[size:]
        return piece


class Sink:
    def __init__(self):
        self.data, self.flushed = b"", []

    def write(self, data: bytes) -> None:
        self.data += data

    def writelines(self, lines) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self.flushed.append(self.data.count(b"\n"))


def stream(data: bytes, sizes: list[int] | None = None, errors: str = "strict", form: str = "text", heard=None) -> Sink:
    sink = Sink()
    translate_stream(Echo(), Pipe(data, sizes or []), sink, heard or Reporter(), errors, form)
    return sink


TEXT = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=7)


@effort(deadline=None)
@given(st.lists(TEXT, max_size=17), st.lists(st.integers(1, 13), max_size=11), st.sampled_from(["\n", "\r\n"]))
def test_every_line_is_answered_in_order_however_the_pipe_cuts_it(lines: list[str], sizes: list[int], end: str):
    expected = "".join(f"{len(line)} {line}\n" if line else "\n" for line in lines)
    assert stream("".join(line + end for line in lines).encode(), sizes).data.decode() == expected


@effort(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=5), TEXT.filter(bool))
def test_the_last_line_needs_no_newline(lines: list[str], last: str):
    text = "".join(line + "\n" for line in lines) + last
    assert stream(text.encode()).data == stream(text.encode() + b"\n").data


def test_no_input_gives_no_output():
    assert stream(b"").data == b""


def test_only_a_newline_ends_a_line():
    text = "a\u2028b\u0085c\x0bd\x1ce"
    assert stream(f"{text}\nf\n".encode()).data.decode() == f"9 {text}\n1 f\n"


def test_the_first_lines_do_not_wait_for_many_others():
    flushed = stream(b"x\n" * 5000).flushed
    assert flushed[0] == 3 and flushed[-1] == 5000
    assert max(later - earlier for earlier, later in pairwise(flushed)) <= 2048


def test_lines_that_are_cut_are_named_by_number():
    heard = Listener()
    stream(b"short\n" * 7 + b"of more than eleven\n", heard=heard)
    assert heard.lines == ["warning: line 8: 19 tokens, cut to 11 (decoding.max_source_tokens)"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
def test_compressed_input_is_no_text(compress):
    with pytest.raises(A2DError, match=r"the input is compressed .*gzip -dc FILE.gz \| a2d translate"):
        stream(compress(b"eins\n" * 100))


def test_invalid_utf8_is_refused_by_line_number_after_the_lines_before_it():
    sink = Sink()
    data = b"eins\nzwei\n" + "drü".encode("latin-1") + b"\nvier\n"
    with pytest.raises(
        A2DError, match=r"input line 3: not UTF-8 \(byte 0xfc at column 3\) .*--errors replace to go on"
    ):
        translate_stream(Echo(), Pipe(data, [4, 4]), sink, Reporter(), "strict", "text")
    assert sink.data == b"4 eins\n4 zwei\n"
    assert stream(data, errors="replace").data.decode() == "4 eins\n4 zwei\n3 dr\ufffd\n4 vier\n"


def test_tables_and_json_number_the_lines():
    assert stream(b"ab\n\n", form="tsv").data == b"1\t-0.5000\t2 ab\n2\t-0.5000\t\n"
    rows = [json.loads(line) for line in stream("ü\n\n".encode(), form="jsonl").data.splitlines()]
    assert rows == [
        {"line": 1, "score": -0.5, "translation": "1 ü"},
        {"line": 2, "score": -0.5, "translation": ""},
    ]


def test_a_translation_with_a_line_break_stays_one_line():
    """A vocabulary with bytes can spell one."""
    found = Translation("one\ntwo", -0.5)
    assert [_form(1, found, form).count("\n") for form in ("text", "tsv", "jsonl")] == [1, 1, 1]
    assert _form(1, Translation("one\ttwo", -0.5), "tsv").count("\t") == 2  # nor is a tab another column


# The command


def test_lines_come_back_translated_in_order(a2d: Launcher, taught: Path):
    sources = (taught / "data/text/test.de").read_text(encoding="utf-8").split("\n")[:-1]
    each = translate(a2d, taught, "".join(f"{line}\n" for line in sources).encode())
    assert len(each) == len(sources) == 37 and len(set(each)) > 30
    # Padding and neighbours change nothing; neither do empty lines, blanks, CRLF and a missing last newline.
    mixed = "\r\n".join(part for line in reversed(sources) for part in ("", line, " \t\u3000 "))
    found = translate(a2d, taught, mixed.encode(), "--batch-size", "5")
    assert found[1::3] == each[::-1]
    assert len(found) == 3 * 37 and set(found[0::3]) | set(found[2::3]) == {""}


def test_nbest_gives_so_many_lines_of_falling_score(a2d: Launcher, taught: Path):
    rows = [line.split("\t") for line in translate(a2d, taught, b"dose labi\n\n", "--nbest", "7", "--format", "tsv")]
    assert [row[0] for row in rows] == ["1"] * 7 + ["2"] * 7
    scores = [float(row[1]) for row in rows[:7]]
    assert scores == sorted(scores, reverse=True) and len({row[2] for row in rows[:7]}) > 1
    assert [row[2] for row in rows[7:]] == [""] * 7
    assert rows[0][2] == translate(a2d, taught, b"dose labi\n", "--beam", "7")[0]


def test_a_very_long_line_is_cut_with_a_warning(a2d: Launcher, taught: Path):
    ended = a2d.well(taught, "translate", "--beam", "1", stdin=b"labi\n" + b"dose " * 2003 + b"\nlabi\n")
    assert len(ended.out.split("\n")) == 4
    assert ended.err.startswith("warning: line 2: ")
    assert ended.err.endswith(" tokens, cut to 512 (decoding.max_source_tokens)\n")


def test_files_instead_of_streams(a2d: Launcher, taught: Path, tmp_path: Path):
    (tmp_path / "in").write_bytes(b"dose labi\n")
    a2d.well(taught, "translate", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "new" / "out"))
    text = (tmp_path / "new" / "out").read_bytes()
    assert text.decode().split("\n")[:-1] == translate(a2d, taught, b"dose labi\n")
    itself = a2d.error(
        taught, "translate", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "new" / ".." / "in"), code=2
    )
    assert "new/../in: it is the input itself\nhint: name another file" in itself
    assert (tmp_path / "in").read_bytes() == b"dose labi\n"
    # A file is whole or not there; what is no file is written to, and never replaced by one.
    (tmp_path / "out").write_text("what was there before\n")
    said = a2d.error(taught, "translate", "-o", str(tmp_path / "out"), stdin=b"dose labi\n\xff\n", code=1)
    assert "input line 2: not UTF-8" in said
    assert (tmp_path / "out").read_text() == "what was there before\n"
    begun = tmp_path / "out.part"
    assert begun.read_bytes() == text
    said = a2d.error(taught, "translate", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), code=2)
    assert f"{begun} is there, with 1 line of a translation that was stopped\nhint: give it another name" in said
    assert begun.read_bytes() == text
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "out")
    link = ["-o", str(tmp_path / "elsewhere" / "link")]
    assert f"{begun} is there, with 1 line" in a2d.error(taught, "translate", *link, stdin=b"labi\n", code=2)
    assert begun.read_bytes() == text
    begun.unlink()
    a2d.well(taught, "translate", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"))
    assert (tmp_path / "out").read_bytes() == text and not begun.exists()
    assert a2d(taught, "translate", "-o", str(tmp_path / "none"), stdin=b"\xff\n").code == 1
    assert not list(tmp_path.glob("none*"))
    os.mkfifo(tmp_path / "pipe")
    with open(os.open(tmp_path / "pipe", os.O_RDWR), "rb", buffering=0) as pipe:
        a2d.well(taught, "translate", "-i", str(tmp_path / "in"), "-o", str(tmp_path / "pipe"))
        assert pipe.read(1009) == text
    assert (tmp_path / "pipe").is_fifo()


def test_a_run_folder_translates_anywhere(a2d: Launcher, taught: Path, tmp_path: Path):
    here = translate(a2d, taught, b"dose labi\n", "--format", "tsv")
    run = Path(shutil.copytree(taught / "runs" / "teacher", tmp_path / "a run"))
    for model in (run, run / "best", Path("a run")):
        assert translate(a2d, tmp_path, b"dose labi\n", "--format", "tsv", "--model", str(model)) == here


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--model", "techer"], 2, "no run or folder 'techer'\nhint: did you mean 'teacher'?"),
        (["--model", "xyz"], 2, "no run or folder 'xyz'\nhint: the project has: teacher"),
        (["--model", "a2d.yaml"], 1, "model 'a2d.yaml' is a file, not a run or checkpoint folder"),
        (["--model", "data"], 1, "data: no checkpoint here\nhint: expected config.json and model.safetensors"),
        (
            ["-i", "nofile"],
            2,
            "input nofile: No such file or directory\nhint: name a text file with -i, or pipe lines in",
        ),
        (["-i", "data"], 2, "input data: Is a directory"),
        (
            ["my text"],
            2,
            "'my text' stands without an option\nhint: text comes from stdin, or a2d translate -i 'my text'",
        ),
        (["--errors", "ignore"], 2, "--errors: 'ignore' is none of strict, replace"),
        (["--format", "xml"], 2, "--format: 'xml' is none of text, tsv, jsonl"),
        (["--length-penalty", "nan"], 2, "--length-penalty: expected 0 or more, got nan\n"),
        (["--length-penalty", "inf"], 2, "--length-penalty: expected 0 or more, got inf\n"),
        (["--length-penalty", "-1"], 2, "--length-penalty: expected 0 or more, got -1.0\n"),
        (["--model", "~nobody-of-that-name/x"], 2, "~nobody-of-that-name/x: no home folder is known for that\nhint: "),
        (["--device", "gpu"], 2, "'gpu' is no device\nhint: use --device auto, cpu, cuda or cuda:N"),
        (["--device", "cuda:3"], 1, "device 'cuda:3' is asked for, but torch"),
    ],
)
def test_mistakes_are_named(a2d: Launcher, taught: Path, options: list[str], code: int, message: str):
    assert message in a2d.error(taught, "translate", *options, stdin=b"labi\n", code=code)


def test_without_a_model_the_command_is_told(a2d: Launcher, project: Path, tmp_path: Path):
    no_model = "no model is trained yet\nhint: run 'a2d train-teacher', then 'a2d distill'"
    assert no_model in a2d.error(project, "translate", code=2)
    # A run that has only begun is known by name, and no model yet.
    write_json(
        project / "runs/teacher/run.json", {"format": 1, "kind": "teacher", "command": "a2d train-teacher --seed 3"}
    )
    assert no_model in a2d.error(project, "translate", code=2)
    said = a2d.error(project, "translate", "--model", "teacher", code=2)
    assert (
        "run 'teacher' has no weights yet: it is before its first validation\nhint: a2d train-teacher --seed 3" in said
    )
    assert f"{tmp_path}: nothing is prepared here\nhint: run 'a2d prepare RECIPE'" in a2d.error(
        tmp_path, "translate", code=2
    )


def test_invalid_utf8_through_the_command(a2d: Launcher, taught: Path):
    ended = a2d(taught, "translate", stdin=b"dose labi\n\xfe\n")
    assert ended.code == 1 and ended.out.count("\n") == 1
    assert (
        "error: input line 2: not UTF-8 (byte 0xfe at column 1)\nhint: convert the file, or --errors replace"
        in ended.err
    )
    assert len(translate(a2d, taught, b"dose labi\n\xfe\nlabi\n", "--errors", "replace")) == 3


def test_out_of_memory_is_told(a2d: Launcher, taught: Path):
    before = """
import torch
from a2d_cli.model.incremental_decoder import IncrementalDecoder
def start(self, src, beam):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
IncrementalDecoder.start = start
"""
    said = a2d.error(taught, "translate", stdin=b"labi\n", before=before, code=1)
    assert "out of memory: CUDA out of memory. Tried to allocate 2.00 GiB\nhint: smaller batches: " in said


# Streams that stay open: real pipes and a terminal


# A shell's `pytest &` would have it ignored.
HEARS_CTRL_C = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from a2d_cli.cli import main
main()
"""


def start(folder: Path, *options: str, **streams: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", HEARS_CTRL_C, "translate", "--beam", "1", *options]
    return subprocess.Popen(command, cwd=folder, env={**os.environ, **ENVIRONMENT}, bufsize=0, **streams)


def test_answers_come_before_the_input_ends_and_a_closed_pipe_ends_it_quietly(a2d: Launcher, taught: Path):
    process = start(taught, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"dose labi\nlabi\n")
    answers = [process.stdout.readline() for _ in range(2)]  # the input is still open
    assert [answer.decode().rstrip("\n") for answer in answers] == translate(
        a2d, taught, b"dose labi\nlabi\n", "--beam", "1"
    )
    process.stdout.close()
    try:
        for _ in range(1009):
            process.stdin.write(b"labi\n")
    except BrokenPipeError:
        pass
    process.stdin.close()
    assert process.wait(60) == -signal.SIGPIPE
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_it_keeps_what_it_has_written(taught: Path, tmp_path: Path, number: int):
    process = start(taught, "-o", str(tmp_path / "out"), stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(b"dose labi\nlabi\n")
    begun = tmp_path / "out.part"
    while process.poll() is None and not (begun.exists() and begun.read_bytes().count(b"\n") == 2):
        time.sleep(0.02)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert [*tmp_path.iterdir()] == [begun] and begun.read_bytes().count(b"\n") == 2
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert said.decode() == f"warning: stopped before the end: 2 lines so far, in {begun}\n"


def test_a_terminal_is_a_prompt_that_answers_line_by_line(a2d: Launcher, taught: Path):
    master, terminal = pty.openpty()
    process = start(taught, "--verbose", stdin=terminal, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    os.close(terminal)
    expected = translate(a2d, taught, b"dose labi\n\nlabi\n", "--beam", "1")
    for line, answer in zip(("dose labi", "", "labi"), expected, strict=True):
        os.write(master, f"{line}\n".encode())
        assert process.stdout.readline().decode() == f"{answer}\n"
    os.write(master, b"\x04")  # Ctrl-D
    _, talk = process.communicate(timeout=60)
    assert process.returncode == 0
    assert (
        talk.decode()
        == "translating with runs/teacher/best (torch)\none sentence a line; Ctrl-D ends\n" + "> " * 4 + "\n"
    )
    os.close(master)


def test_who_translates_is_told_at_a_terminal_and_nowhere_else_unasked(taught: Path):
    master, terminal = pty.openpty()
    process = start(taught, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    process.communicate(b"labi\n", timeout=60)
    assert b"translating with runs/teacher/best (torch)" in os.read(master, 4096)
    os.close(master)
    for option, told in ((), b""), (("-v",), b"translating with runs/teacher/best (torch)\n"):
        piped = start(taught, *option, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert piped.communicate(b"labi\n", timeout=60)[1] == told


def test_words_are_aligned_in_a_project_that_may_only_be_read(a2d: Launcher, taught_project: Path):
    info = taught_project / "runs/teacher/run.json"
    before = info.read_bytes()
    read_only = (
        "import errno, pathlib, tempfile\n"
        "def mkstemp(**_):\n"
        "    raise OSError(errno.EROFS, 'Read-only file system')\n"
        "tempfile.mkstemp = mkstemp"
    )
    ended = a2d.well(taught_project, "translate", "-v", "--alignment", stdin=b"x\n", before=read_only)
    assert " ||| " in ended.out and info.read_bytes() == before
    assert (
        "run.json: cannot be written: Read-only file system" in ended.err
        and "not noted for the next time: " in ended.err
    )


CHOSEN = "alignment: head "


def test_a_head_is_noted_and_chosen_anew_for_other_weights(a2d: Launcher, taught_project: Path):
    info = taught_project / "runs/teacher/run.json"
    assert CHOSEN in a2d.well(taught_project, "translate", "-v", "--alignment", stdin=b"x\n").err
    noted = json.loads(info.read_text())["alignment_head"]
    assert noted["reference"] == "itself"
    assert CHOSEN not in a2d.well(taught_project, "translate", "-v", "--alignment", stdin=b"x\n").err
    edit(info, lambda values: values["alignment_head"].update(weights_sha256="0" * 64))
    assert CHOSEN in a2d.well(taught_project, "translate", "-v", "--alignment", stdin=b"x\n").err
    assert json.loads(info.read_text())["alignment_head"] == noted


def test_nothing_is_noted_of_a_run_in_training(a2d: Launcher, taught_project: Path):
    """Its trainer writes run.json: what that records meanwhile would be lost."""
    info = taught_project / "runs/teacher/run.json"
    edit(info, lambda values: values.update(finished=False))
    before = info.read_bytes()
    assert CHOSEN in a2d.well(taught_project, "translate", "-v", "--alignment", stdin=b"x\n").err
    assert info.read_bytes() == before


def test_the_head_of_an_ensembles_student_is_that_of_all_its_teachers(a2d: Launcher, taught_project: Path):
    from safetensors.torch import load_file, save_file

    runs = taught_project / "runs"
    for name in ("second", "student"):
        shutil.copytree(runs / "teacher", runs / name)
    weights = load_file(runs / "second/best/model.safetensors")
    save_file({key: 1.01 * value for key, value in weights.items()}, runs / "second/best/model.safetensors")
    digits = [sha256_file(runs / name / "best/model.safetensors")[:16] for name in ("teacher", "second")]
    edit(
        runs / "student/run.json", lambda values: values.update(kind="student", settings={"teacher": ",".join(digits)})
    )
    said = a2d.well(taught_project, "translate", "-v", "--alignment", "--model", "student", stdin=b"x\n").err
    assert re.search(
        r"alignment: head \d of layer \d serves best: \d+% of its links are those of its teachers' mean\n", said
    )
    assert json.loads((runs / "student/run.json").read_text())["alignment_head"]["reference"] == "teacher + second"
    a2d.well(taught_project, "export", "student", "-q", "float32")
    manifest = json.loads((taught_project / "exports/student-ct2-float32/a2d.json").read_text())
    assert manifest["teacher"] == {"name": "teacher + second", "weights_sha256": ",".join(digits)}
    shutil.rmtree(runs / "second")
    edit(runs / "student/run.json", lambda values: values.pop("alignment_head"))
    said = a2d.well(
        taught_project, "translate", "-v", "--alignment", "--model", "student", "--engine", "torch", stdin=b"x\n"
    ).err
    assert "of its links are those of its own mean\n" in said


def test_a_teacher_that_cuts_the_text_otherwise_is_no_reference_for_alignment(a2d: Launcher, taught_project: Path):
    """As the teacher of `seq` may: its pieces are not the student's, so its links say nothing about the student's."""
    runs = taught_project / "runs"
    shutil.copytree(runs / "teacher", runs / "student")
    texts = [(taught_project / f"data/text/train.{lang}").read_text("utf-8").splitlines() for lang in ("de", "en")]
    settings = schema.Tokenizer(vocab_size=80, model_type="bpe")
    tokenizer = train_tokenizer(zip(*texts, strict=True), len(texts[0]), settings)
    tokenizer.save(runs / "teacher")
    edit(runs / "teacher/best/config.json", lambda values: values.update(tokenizer=tokenizer.fingerprint))
    digits = sha256_file(runs / "teacher/best/model.safetensors")[:16]
    edit(runs / "student/run.json", lambda values: values.update(kind="student", settings={"teacher": digits}))
    ended = a2d.well(taught_project, "translate", "-v", "--alignment", "--model", "student", stdin=b"labi dose\n")
    assert " ||| " in ended.out and "of its links are those of its own mean\n" in ended.err
    assert json.loads((runs / "student/run.json").read_text())["alignment_head"]["reference"] == "itself"
