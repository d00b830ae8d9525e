"""What `a2d bench` has measured, as a table and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2d_cli.commands.table import Table
from a2d_cli.decoding.speed import Speed, TimedPass


@dataclass(frozen=True)
class BenchSettings:
    """What is asked for."""

    engines: tuple[str, ...] = ("torch", "ct2")
    precisions: tuple[str, ...] = ("float32", "int8")  # torch computes in float32 alone
    beams: tuple[int, ...] = (1, 5)
    batch_sizes: tuple[int, ...] = (1, 32)  # sentences
    sentences: int = 200  # of the test set, evenly chosen
    rounds: int = 3
    threads: int = 1


@dataclass(frozen=True)
class Form:
    """A model as one engine loads it."""

    model: str
    parameters: int
    is_random: bool  # never trained: its outputs have the lengths of the references
    engine: str
    precision: str
    folder: Path  # a checkpoint folder (torch), or a CTranslate2 model with its tokenizer (ct2)
    file_bytes: int  # of all that is needed to translate
    max_tokens: int  # of a sentence

    @property
    def title(self) -> str:
        return f"{self.engine} {self.precision}"


@dataclass(frozen=True)
class Choice:
    """How sentences are translated in one pass."""

    beam: int
    batch_sentences: int


@dataclass(frozen=True)
class Observation:
    """What one process has measured: one pass for each choice."""

    passes: tuple[TimedPass, ...]
    peak_bytes: int


@dataclass(frozen=True)
class BenchRow:
    """A form with the observations of all rounds."""

    form: Form
    observations: tuple[Observation, ...]

    @property
    def peak_bytes(self) -> int:
        return round(statistics.median(each.peak_bytes for each in self.observations))

    def passes(self, number: int) -> list[TimedPass]:
        """Of all rounds, for the choice of that number."""
        return [each.passes[number] for each in self.observations]

    def to_json(self, choices: Sequence[Choice]) -> dict[str, Any]:
        form = self.form
        return {
            "model": form.model,
            "parameters": form.parameters,
            "random_weights": form.is_random,
            "engine": form.engine,
            "precision": form.precision,
            "file_bytes": form.file_bytes,
            "peak_bytes": self.peak_bytes,
            "speeds": [
                {
                    **asdict(choice),
                    "tokens": self.passes(number)[0].tokens,
                    **asdict(Speed.of(self.passes(number))),
                    "passes": [{"cpu_s": each.cpu_s, "wall_s": each.wall_s} for each in self.passes(number)],
                }
                for number, choice in enumerate(choices)
            ],
        }


@dataclass(frozen=True)
class Machine:
    cpu: str
    cores: int
    load_before: float  # average of a minute
    load_after: float
    versions: dict[str, str]


@dataclass(frozen=True)
class BenchReport:
    pair: str
    test_set: str
    num_sentences: int
    settings: BenchSettings
    choices: tuple[Choice, ...]  # as the passes of an observation
    rows: tuple[BenchRow, ...]
    machine: Machine

    @property
    def wall_per_cpu(self) -> float:
        """Above 1 with one thread: the processes had to wait for their core."""
        observations = [each for row in self.rows for each in row.observations]
        return statistics.median(each.wall_s / each.cpu_s for found in observations for each in found.passes)

    def to_json(self) -> dict[str, Any]:
        return {
            "pair": self.pair,
            "test_set": self.test_set,
            "sentences": self.num_sentences,
            "rounds": self.settings.rounds,
            "threads": self.settings.threads,
            "machine": asdict(self.machine),
            "wall_per_cpu": self.wall_per_cpu,
            "rows": [row.to_json(self.choices) for row in self.rows],
        }

    def table(self) -> Table:
        """Models with their engines below; a line for each beam, columns for each batch size."""
        sizes = self.settings.batch_sizes
        columns = ["model, parameters", "size MB", "peak MB", "beam"]
        columns += [f"{what} ×{size}" for size in sizes for what in ("sent/s", "tok/s")]
        columns += ["p50 ms", "p95 ms"] if 1 in sizes else []
        cells: list[list[str]] = []
        above = None
        for row in self.rows:
            if row.form.model != above:
                above = row.form.model
                cells.append([f"{above}, {row.form.parameters / 1e6:.2f} M", *[""] * (len(columns) - 1)])
            cells += self._lines(row)
        title = f"cost of translating: {self.pair}, {self.num_sentences} sentences of {self.test_set}"
        return Table(title, columns, cells, "\n".join(self._notes()))

    def _lines(self, row: BenchRow) -> list[list[str]]:
        """One for each beam."""
        about = [f"  {row.form.title}", f"{row.form.file_bytes / 1e6:.1f}", f"{row.peak_bytes / 1e6:.0f}"]
        lines = []
        for beam in self.settings.beams:
            speeds = [Speed.of(row.passes(i)) for i, choice in enumerate(self.choices) if choice.beam == beam]
            line = [*about, str(beam)]
            for speed in speeds:
                line += [_number(speed.sentences_per_cpu_s), f"{speed.tokens_per_cpu_s:.0f}"]
            for speed in speeds:
                if speed.latency_p50_s is not None:
                    line += [_number(1000 * speed.latency_p50_s), _number(1000 * speed.latency_p95_s)]
            lines.append(line)
            about = ["", "", ""]
        return lines

    def _notes(self) -> list[str]:
        machine, settings = self.machine, self.settings
        notes = [
            "sent/s, tok/s ×N: sentences and target tokens per CPU second, thus per core, N sentences at a time",
            (
                "p50, p95: wall time of one sentence alone; size: all files, vocabulary included; "
                "peak: memory of the process"
            ),
        ]
        if any(row.form.is_random for row in self.rows):
            notes.append("presets: random weights, outputs as long as the references are for such sources")
        rounds = f"medians of {settings.rounds} rounds" if settings.rounds > 1 else "one round"
        threads = f"{settings.threads} thread{'s' * (settings.threads > 1)} on {machine.cores} cores of {machine.cpu}"
        versions = ", ".join(f"{name} {number}" for name, number in machine.versions.items())
        load = f"load average {machine.load_before:.1f} before, {machine.load_after:.1f} after"
        notes.append(f"{rounds}; {threads}; {versions}")
        notes.append(f"{load}; wall time was {self.wall_per_cpu:.2f} × CPU time")
        return notes


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
