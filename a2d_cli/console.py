"""What a person sees: progress bars and news on stderr, tables and JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from a2d_cli.errors import A2DError
from a2d_cli.files import finite
from a2d_cli.reporting import PlainReporter, Progress, Reporter, WarningReporter, duration_text

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichBars
    from rich.progress import Task, TaskID

Clock = Callable[[], float]  # seconds

PLAIN_INTERVAL_S = 30.0  # between two progress lines of a task where there is no terminal
WORTH_A_LINE_S = 2.0  # a task that ends sooner leaves no line
SHORT_CELL = 8  # a number and its unit up to this many characters stay on one line
LONGEST_WORD = 16  # of a column of words, that a narrow terminal must not break
AT_ONCE_S = 0.1  # what a task advances before was done earlier (a resumed run or download): not its speed


def make_reporter(*, quiet_in_pipes: bool = False) -> Reporter:
    """Progress bars on a terminal, plain lines in a log.

    Args:
        quiet_in_pipes: nothing but warnings where stderr is no terminal, as of a filter.
    """
    if quiet_in_pipes and not sys.stderr.isatty():
        return WarningReporter()
    return RichReporter() if is_terminal(sys.stderr) else TimedReporter()


def is_terminal(stream: TextIO) -> bool:
    """Whether `stream` may be drawn on: a terminal, and nobody asked for plain text."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str = "") -> None:
    """A table on stdout: drawn to the terminal's width, else aligned text in which no cell is cut.

    Columns of numbers are set to the right. Where the width is short, cells break at spaces and numbers never within.
    """
    cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
    to_right = [_is_numeric([row[i] for row in cells]) for i in range(len(columns))]
    if is_terminal(sys.stdout):
        _draw_table(title, columns, cells, to_right)
    else:
        _write_table(title, columns, cells, to_right)
    if note:
        print(note)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    """`value` as JSON on stdout; what JSON cannot say (NaN, infinity) becomes null."""
    print(json.dumps(finite(value), ensure_ascii=False, indent=2), flush=True)


def print_error(error: A2DError) -> None:
    """What is wrong and what to do, on stderr."""
    red, cyan, plain = ("\033[1;31m", "\033[36m", "\033[0m") if is_terminal(sys.stderr) else ("", "", "")
    print(f"{red}error:{plain} {error.message}", file=sys.stderr)
    if error.hint:
        print(f"{cyan}hint:{plain} {error.hint}", file=sys.stderr)
    sys.stderr.flush()


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in ("", "–")]
    return bool(filled) and all(cell.lstrip("+-−±~<").startswith(tuple("0123456789")) for cell in filled)


def _draw_table(title: str, columns: Sequence[str], rows: list[list[str]], to_right: list[bool]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = Console(file=sys.stdout)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    widths = _natural_widths(columns, rows)
    if sum(widths) + 3 * (len(widths) - 1) > terminal.width:
        table.padding = 0  # space is better spent on words
        widths = _narrow_widths(columns, rows, to_right, terminal.width - (len(widths) - 1))
    for column, right, width in zip(columns, to_right, widths, strict=True):
        table.add_column(Text(column), justify="right" if right else "left", overflow="fold", width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    if title:
        terminal.print(Text(title, style="bold"))
    terminal.print(table)


def _natural_widths(columns: Sequence[str], rows: list[list[str]]) -> list[int]:
    from rich.cells import cell_len  # a Chinese character is two columns wide

    return [max(map(cell_len, cells)) for cells in zip(columns, *rows, strict=True)]


def _narrow_widths(columns: Sequence[str], rows: list[list[str]], to_right: list[bool], space: int) -> list[int]:
    """Of columns whose lines break: words stay whole if they can; what is left is shared by those that want more."""
    titles = [max(column.split(), key=len, default="") for column in columns]
    parts = [[_longest_part(cell, right) for cell, right in zip(row, to_right, strict=True)] for row in rows]
    longest = _natural_widths(titles, parts)
    widths = [max(1, min(width, LONGEST_WORD)) for width in longest]
    left = space - sum(widths)
    for wanted in (_natural_widths(titles, rows), _natural_widths(columns, rows)):  # cells come before titles
        lacking = sorted((want - width, i) for i, (want, width) in enumerate(zip(wanted, widths, strict=True)))
        for position, (lack, i) in enumerate(lacking):
            given = max(0, min(lack, left // (len(lacking) - position)))
            widths[i] += given
            left -= given
    return widths


def _longest_part(cell: str, is_number: bool) -> str:
    """That stays on one line: a word, or a short number with its unit."""
    return cell if is_number and len(cell) <= SHORT_CELL else max(cell.split(), key=len, default="")


def _write_table(title: str, columns: Sequence[str], rows: list[list[str]], to_right: list[bool]) -> None:
    from rich.cells import cell_len

    lines = [list(columns), *rows]
    widths = _natural_widths(columns, rows)
    lines.insert(1, ["-" * width for width in widths])
    if title:
        print(title)
    for line in lines:
        padded = []
        for cell, width, right in zip(line, widths, to_right, strict=True):
            space = " " * (width - cell_len(cell))
            padded.append(space + cell if right else cell + space)
        print("  ".join(padded).rstrip())


def amount_text(amount: float, unit: str) -> str:
    """A count, or a size in bytes as people write it: 1234 -> '1,234', 1234567 B -> '1.2 MB'."""
    if unit != "B":
        return f"{amount:,.0f}"
    for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= size:
            return f"{amount / size:.1f} {name}"
    return f"{amount:.0f} B"


def done_text(done: float, total: float | None, unit: str) -> str:
    """How far a task is: '3/7 updates', '1.2 MB of 3.4 MB', '12 lines' where the total is unknown."""
    if unit == "B":
        return amount_text(done, unit) + (f" of {amount_text(total, unit)}" if total else "")
    ratio = amount_text(done, unit) + (f"/{amount_text(total, unit)}" if total else "")
    return f"{ratio} {unit}".rstrip()


def speed_text(per_second: float | None, unit: str) -> str:
    """'3.1 MB/s', '124 lines/s', '0.31 updates/s'; empty while unknown."""
    if not per_second:
        return ""
    if unit == "B":
        return amount_text(per_second, unit) + "/s"
    return (f"{per_second:,.0f}" if per_second >= 10 else f"{per_second:.2g}") + f" {unit}/s"


class Pace:
    """How far a task is and how fast it goes."""

    def __init__(self, title: str, total: float | None, unit: str, clock: Clock = time.monotonic):
        self.title, self.total, self.unit = title, total, unit
        self.done = 0.0
        self.note = ""
        self._already_done = 0.0
        self._clock, self._began = clock, clock()

    def advance(self, amount: float, note: str) -> None:
        if self.elapsed_s < AT_ONCE_S:
            self._already_done += amount
        self.done += amount
        self.note = note or self.note

    @property
    def elapsed_s(self) -> float:
        return self._clock() - self._began

    @property
    def per_second(self) -> float | None:
        """None while unknown."""
        return (self.done - self._already_done) / self.elapsed_s if self.done > self._already_done else None

    @property
    def left_s(self) -> float | None:
        """None while unknown."""
        return max(self.total - self.done, 0.0) / self.per_second if self.total and self.per_second else None

    @property
    def amount(self) -> str:
        """Empty where all that is known is that it runs."""
        return done_text(self.done, self.total, self.unit) if self.total or self.done else ""

    def state(self) -> str:
        left = f"{duration_text(self.left_s)} left" if self.left_s else ""
        speed = speed_text(self.per_second, self.unit)
        return f"{self.title}: " + ", ".join(part for part in (self.amount, speed, left, self.note) if part)

    def summary(self) -> str:
        amount = f"{done_text(self.done, None, self.unit)} in " if self.amount else ""
        return f"{self.title}: {amount}{duration_text(self.elapsed_s)}"


class TimedReporter(PlainReporter):
    """Plain lines; a long task tells how far it is every half minute."""

    def __init__(self, stream: TextIO | None = None, clock: Clock = time.monotonic):
        super().__init__(stream)
        self._clock = clock

    def progress(self, title: str, total: float | None = None, unit: str = "") -> Progress:
        return _TimedProgress(self, Pace(title, total, unit, self._clock))


class _TimedProgress(Progress):
    def __init__(self, reporter: Reporter, pace: Pace):
        self._reporter, self._pace = reporter, pace
        self._told_s = 0.0

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._pace.advance(amount, note)
        if self._pace.elapsed_s - self._told_s >= PLAIN_INTERVAL_S:
            self._told_s = self._pace.elapsed_s
            self._reporter.info(self._pace.state())

    def set_total(self, total: float | None) -> None:
        self._pace.total = total

    def __exit__(self, *exc_info: object) -> None:
        if exc_info[0] is None and self._pace.elapsed_s >= WORTH_A_LINE_S:
            self._reporter.info(self._pace.summary())


class RichReporter(Reporter):
    """Bars at the foot of the terminal while tasks run, news above them."""

    def __init__(self, stream: TextIO | None = None):
        from rich.console import Console

        self._console = Console(file=stream or sys.stderr, highlight=False)
        self._bars: RichBars | None = None
        self._open_tasks = 0

    def info(self, message: str) -> None:
        self._console.print(message, markup=False, emoji=False, soft_wrap=True)

    def warn(self, message: str) -> None:
        from rich.text import Text

        self._console.print(Text.assemble(("warning: ", "yellow"), message), soft_wrap=True)

    def progress(self, title: str, total: float | None = None, unit: str = "") -> Progress:
        return _RichProgress(self, Pace(title, total, unit))

    def open_bar(self, pace: Pace) -> tuple[RichBars, TaskID]:
        if self._bars is None:
            self._bars = _make_bars(self._console)
            self._bars.start()
        self._open_tasks += 1
        return self._bars, self._bars.add_task(pace.title, total=pace.total, pace=pace)

    def close_bar(self, task: TaskID, summary: str) -> None:
        """Take a bar away; the last one leaves `summary` behind."""
        if self._bars is None:
            return
        self._bars.remove_task(task)
        self._open_tasks -= 1
        if self._open_tasks == 0:
            self._bars.stop()
            self._bars = None
            if summary:
                self.info(summary)


class _RichProgress(Progress):
    def __init__(self, reporter: RichReporter, pace: Pace):
        self._reporter, self._pace = reporter, pace

    def __enter__(self) -> Progress:
        self._bars, self._task = self._reporter.open_bar(self._pace)
        return self

    def advance(self, amount: float = 1, note: str = "") -> None:
        self._pace.advance(amount, note)
        self._bars.update(self._task, completed=self._pace.done)

    def set_total(self, total: float | None) -> None:
        self._pace.total = total
        self._bars.update(self._task, total=total)

    def __exit__(self, *exc_info: object) -> None:
        ended_well = exc_info[0] is None and self._pace.elapsed_s >= WORTH_A_LINE_S
        self._reporter.close_bar(self._task, self._pace.summary() if ended_well else "")


def _make_bars(console: Console) -> RichBars:
    from rich.progress import BarColumn, ProgressColumn
    from rich.progress import Progress as RichBars
    from rich.table import Column
    from rich.text import Text

    class Shown(ProgressColumn):
        """A column whose text is a function of the pace."""

        def __init__(self, text: Callable[[Pace], str]):
            super().__init__(Column(no_wrap=True))  # where space is short, the bar gives way
            self._text = text

        def render(self, task: Task) -> Text:
            return Text(self._text(task.fields["pace"]))

    return RichBars(
        Shown(lambda pace: pace.title),
        BarColumn(bar_width=24),
        Shown(lambda pace: pace.amount),
        Shown(lambda pace: speed_text(pace.per_second, pace.unit)),
        Shown(lambda pace: f"{duration_text(pace.left_s)} left" if pace.left_s else ""),
        Shown(lambda pace: pace.note),
        console=console,
        transient=True,
        refresh_per_second=4,
        redirect_stdout=is_terminal(sys.stdout),  # a pipe gets its results as they are
    )
