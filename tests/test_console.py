import contextlib
import io
import json
import re
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from a2d_cli import console
from a2d_cli.console import (
    PLAIN_INTERVAL_S,
    RichReporter,
    TimedReporter,
    amount_text,
    done_text,
    duration_text,
    make_reporter,
    print_error,
    print_json,
    print_table,
    speed_text,
)
from a2d_cli.errors import A2DError


class Terminal(io.StringIO):
    """Stands in for stdout and stderr while entered."""

    def isatty(self):
        return True

    def __enter__(self):
        self._redirected = contextlib.ExitStack()
        self._redirected.enter_context(contextlib.redirect_stdout(self))
        self._redirected.enter_context(contextlib.redirect_stderr(self))
        return self

    def __exit__(self, *exc_info):
        self._redirected.close()


@pytest.fixture
def terminal(monkeypatch):
    """A colour terminal of 80 columns."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    return Terminal()


class Clock:
    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s


def test_a_terminal_gets_bars(terminal):
    with terminal:
        assert isinstance(make_reporter(), RichReporter)


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_who_asks_for_plain_text_gets_it(terminal, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with terminal:
        assert isinstance(make_reporter(), TimedReporter)
        print_table("", ["a"], [["b"]])
        print_error(A2DError("wrong", "right"))
    assert terminal.getvalue() == "a\n-\nb\nerror: wrong\nhint: right\n"


def test_a_pipe_gets_lines(capsys):
    assert isinstance(make_reporter(), TimedReporter)


def test_plain_reporter_tells_a_long_task_now_and_then():
    stream, clock = io.StringIO(), Clock()
    reporter = TimedReporter(stream, clock)
    with reporter.progress("Training", 400, "updates") as progress:
        for _ in range(200):
            clock.now_s += 0.5
            progress.advance(1, note="loss 3.2")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "Training: 60/400 updates, 2 updates/s, 2:50 min left, loss 3.2"
    assert len(lines) == 100 // PLAIN_INTERVAL_S + 1
    assert lines[-1] == "Training: 200 updates in 1:40 min"


def test_short_or_failed_tasks_leave_no_line():
    stream, clock = io.StringIO(), Clock()
    reporter = TimedReporter(stream, clock)
    with reporter.progress("Short") as progress:
        clock.now_s += 1
        progress.advance()
    with pytest.raises(KeyError), reporter.progress("Failed"):
        clock.now_s += 9
        raise KeyError
    assert stream.getvalue() == ""


def test_what_was_there_at_the_start_is_not_speed():
    stream, clock = io.StringIO(), Clock()
    with TimedReporter(stream, clock).progress("Download", None, "B") as progress:
        progress.advance(4e6)  # a resumed download
        progress.set_total(10e6)
        clock.now_s += 31
        progress.advance(3.1e6)
    assert "Download: 7.1 MB of 10.0 MB, 100.0 kB/s, 29 s left" in stream.getvalue()


def test_news_is_plain_text():
    stream = io.StringIO()
    TimedReporter(stream).warn("[bold]x[/bold]")
    assert stream.getvalue() == "warning: [bold]x[/bold]\n"


def test_bars_show_the_task_and_take_text_literally(terminal):
    reporter = RichReporter(terminal)
    with reporter.progress("[b]Out[/b]", 3, "lines") as outer, reporter.progress("inner", None, "B") as inner:
        outer.advance(2, note="[i]note[/i]")
        inner.set_total(5e6)
        inner.advance(3e6)
        with reporter.progress("third"):
            pass  # a new bar draws the others anew
        reporter.info("[red]news[/red] :smile: 3.5")
        reporter.warn("look [out]")
    shown = terminal.getvalue()
    for text in ("[b]Out[/b]", "2/3 lines", "[i]note[/i]", "inner", "3.0 MB of 5.0 MB"):
        assert text in shown
    assert "[red]news[/red] :smile: 3.5" in shown
    assert "warning: " in shown and "look [out]" in shown
    assert shown.endswith("\033[?25h\r")  # the cursor is shown again


def test_bars_come_back_after_the_last_has_gone(terminal, monkeypatch):
    monkeypatch.setattr(console, "WORTH_A_LINE_S", 0)
    reporter = RichReporter(terminal)
    for title in ("first", "second"):
        with reporter.progress(title, 2, "files") as progress:
            progress.advance(2)
        assert terminal.getvalue().endswith(f"{title}: 2 files in 0 s\n")


def test_bars_vanish_when_the_task_fails(terminal):
    reporter = RichReporter(terminal)
    with pytest.raises(KeyError), reporter.progress("Failed", 2):
        raise KeyError
    assert terminal.getvalue().endswith("\033[?25h\r")
    assert "Failed: " not in terminal.getvalue()


CELLS = st.text(alphabet="aÉß7学生[/b]–−%", max_size=120)


@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=5))
def test_a_table_in_a_pipe_cuts_nothing(rows):
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        print_table("", ["left", "right"], rows)
    lines = stream.getvalue().removesuffix("\n").split("\n")
    assert len(lines) == len(rows) + 2
    for line, (left, right) in zip(lines[2:], rows, strict=True):
        assert line.split() == [cell for cell in (left, right) if cell]


def test_a_plain_table_is_aligned_and_numbers_stand_right(capsys):
    rows = [["teacher", 35.25, "–"], ["学生", 7, "−1.2 [−1.9, −0.5]"], ["[b]x[/b]", None, ""]]
    print_table("Scores", ["model", "BLEU", "Δ"], rows, note="BLEU|nrefs:1")
    assert capsys.readouterr().out.splitlines() == [
        "Scores",
        "model      BLEU                  Δ",
        "--------  -----  -----------------",
        "teacher   35.25                  –",
        "学生          7  −1.2 [−1.9, −0.5]",
        "[b]x[/b]",
        "BLEU|nrefs:1",
    ]


def test_a_drawn_table_takes_cells_literally_and_loses_no_text(terminal):
    with terminal:
        print_table("[u]T[/u]", ["[b]model[/b]", "x"], [["[i]tea", "y" * 150]], note="[note]")
    shown = terminal.getvalue()
    assert all(text in shown for text in ("[u]T[/u]", "[b]model[/b]", "[i]tea", "[note]", "──"))
    assert shown.count("y") == 150


def shown_lines(terminal):
    return re.sub(r"\033\[[0-9;]*m", "", terminal.getvalue()).splitlines()


def test_a_narrow_table_breaks_at_spaces_and_never_within_a_number(terminal):
    rows = [
        ["teacher", "54.17", "68.08", "–", "–", "1.77 M", "7.1", "156.6*"],
        [
            "a2d-diagonal int8",
            "39.14",
            "56.11",
            "-15.03 p=0.001 [-16.99,-13.26]",
            "+19.96 p=0.001 [18.21,21.72]",
            "0.36 M",
            "0.7",
            "1738.6*",
        ],
    ]
    columns = ["model", "BLEU", "chrF2", "Δ BLEU to teacher", "Δ BLEU to plain student", "params", "size MB", "sent/s"]
    with terminal:
        print_table("", columns, rows)
    lines = shown_lines(terminal)
    assert max(map(len, lines)) <= 80
    words = [word for line in lines for word in line.split()]
    assert sorted(word for word in words if "─" not in word) == sorted(" ".join([*columns, *rows[0], *rows[1]]).split())
    assert any("0.36 M" in line for line in lines)  # a short number keeps its unit


@example([("777777777777777学学学学学学", "777777777777777学学学学学学", 100000)])  # looks like a number, and is none
@given(st.lists(st.tuples(CELLS, CELLS, st.integers(0, 10**9)), min_size=1, max_size=5))
def test_a_drawn_table_is_never_wider_than_the_terminal(rows):
    with pytest.MonkeyPatch.context() as patch, Terminal() as terminal:
        for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "61")):
            patch.setenv(name, value)
        patch.delenv("NO_COLOR", raising=False)
        print_table("", ["left", "right", "n"], rows)
    lines = shown_lines(terminal)
    assert all(cell_len(line) <= 61 for line in lines)
    shown = "".join(lines)
    assert all(shown.count(mark) >= sum(row[0].count(mark) + row[1].count(mark) for row in rows) for mark in "aÉß学生")
    assert all(any(str(row[2]) in line.split() for line in lines) for row in rows)


def test_a_task_without_a_count_tells_its_time_alone():
    stream, clock = io.StringIO(), Clock()
    with TimedReporter(stream, clock).progress("train the tokenizer"):
        clock.now_s += 30
    assert stream.getvalue() == "train the tokenizer: 30 s\n"


def test_json_is_json(capsys):
    print_json([{"ü": float("nan"), "a": float("inf"), "b": 0.1}])
    out = capsys.readouterr().out
    assert json.loads(out) == [{"ü": None, "a": None, "b": 0.1}]
    assert "ü" in out


def test_errors_go_to_stderr(capsys):
    print_error(A2DError("run 'x[/]' exists", "add --resume"))
    print_error(A2DError("no hint"))
    out, err = capsys.readouterr()
    assert (out, err) == ("", "error: run 'x[/]' exists\nhint: add --resume\nerror: no hint\n")


def test_errors_are_coloured_on_a_terminal(terminal):
    with terminal:
        print_error(A2DError("wrong"))
    assert terminal.getvalue() == "\033[1;31merror:\033[0m wrong\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (amount_text(1234, "lines"), "1,234"),
        (amount_text(999, "B"), "999 B"),
        (amount_text(1_234_567, "B"), "1.2 MB"),
        (amount_text(2.5e9, "B"), "2.5 GB"),
        (done_text(3, 7, "updates"), "3/7 updates"),
        (done_text(3, None, ""), "3"),
        (done_text(1000, 3e6, "B"), "1.0 kB of 3.0 MB"),
        (speed_text(None, "lines"), ""),
        (speed_text(3.1e6, "B"), "3.1 MB/s"),
        (speed_text(1234.6, "lines"), "1,235 lines/s"),
        (speed_text(0.314, "updates"), "0.31 updates/s"),
        (duration_text(None), ""),
        (duration_text(41.6), "42 s"),
        (duration_text(185), "3:05 min"),
        (duration_text(7620), "2:07 h"),
    ],
)
def test_quantities_are_written_as_people_do(text, expected):
    assert text == expected


def test_importing_the_console_loads_no_rich():
    code = "import sys, a2d_cli.console; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
