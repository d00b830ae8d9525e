"""What a comparison has found: tables, JSON, and one CSV row a run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from a2d_cli.commands.score_files import interval_text
from a2d_cli.commands.table import Table
from a2d_cli.comparison import (
    ALPHA,
    EQUAL_BLEU,
    HEADROOM_BLEU,
    POWER,
    PairedTest,
    Sample,
    can_claim,
    claim,
    has_headroom,
    paired_tests,
    seeds_for_significance,
    smallest_p_value,
)
from a2d_cli.reporting import count_text
from a2d_cli.scoring import PairedResult

PLAIN = "ce"

# Metric -> title and decimals; a field of MeasuredRun.
METRICS = {"bleu": ("BLEU", 2), "chrf": ("chrF2", 2), "test_nll": ("NLL", 3), "kl": ("KL to teacher", 3)}
NOT_MEASURED = (
    "what n-grams and characters do not show: no neural metric, no human judge",
    "other corpora, sizes and teachers: all runs share them here, and seeds vary the students alone",
    "what tuning each method by itself would give",
    "the cost of training the teacher, and energy",
)


@dataclass(frozen=True)
class MeasuredRun:
    """A student on a test set."""

    method: str
    updates: int
    seed: int
    run: str
    bleu: float
    chrf: float
    test_nll: float  # nats per target token, teacher-forced
    kl: float  # KL(teacher ‖ student), nats per target token, on the references
    valid_nll: float  # of the weights chosen
    elapsed_s: float  # of training, validations included
    peak_memory_bytes: int | None  # of the GPU, else of the training process; None: not recorded, see the notes
    parameters: int
    initial_weights: str
    weights_sha256: str
    hypotheses: str  # a file in scores/


@dataclass(frozen=True)
class MeasuredTeacher:
    model: str
    bleu: float
    chrf: float
    test_nll: float
    parameters: int
    weights_sha256: str


@dataclass(frozen=True)
class Bootstrap:
    """The difference in BLEU over resampled sentences, which all seeds share."""

    by_seed: tuple[PairedResult, ...]
    mean: PairedResult  # over the seeds


@dataclass(frozen=True)
class Contrast:
    """A method against a baseline on one test set, at one length."""

    baseline: str
    method: str
    tests: dict[str, PairedTest]  # by metric
    bootstrap: Bootstrap

    def claim(self, headroom_bleu: float | None) -> str:
        """What may be said of BLEU."""
        sentences = self.bootstrap.mean
        return claim(self.tests["bleu"], sentences.low, sentences.high, headroom_bleu)

    def bootstrap_text(self) -> str:
        """`+3 -0 of 3`: seeds in which the method is better and worse, by the interval: p errs on the small side."""
        better, worse = (
            sum(result.low > 0 for result in self.bootstrap.by_seed),
            sum(result.high < 0 for result in self.bootstrap.by_seed),
        )
        return f"+{better} -{worse} of {len(self.bootstrap.by_seed)}"


@dataclass(frozen=True)
class ComparedRuns:
    """All methods of one length on one test set."""

    test_set: str
    sentences: int
    updates: int
    teachers: tuple[MeasuredTeacher, ...]  # several: the members of an ensemble
    runs: tuple[MeasuredRun, ...]  # by seed, then by method
    contrasts: tuple[Contrast, ...]

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(run.method for run in self.runs))

    def of(self, method: str) -> list[MeasuredRun]:
        return [run for run in self.runs if run.method == method]

    def sample(self, method: str, metric: str) -> Sample:
        return samples(self.runs, metric)[method]

    @property
    def teacher_bleu(self) -> float:
        """Of an ensemble, which does not translate: its best member's."""
        return max(teacher.bleu for teacher in self.teachers)

    @property
    def headroom_bleu(self) -> float | None:
        """None: no plain student was trained."""
        return self.teacher_bleu - self.sample(PLAIN, "bleu").mean if PLAIN in self.methods else None

    def headroom_text(self) -> str:
        headroom = self.headroom_bleu
        if headroom is None:
            return (
                f"headroom unknown: NO CLAIM on {self.test_set}: --methods has no '{PLAIN}', "
                "the student that the teacher must beat"
            )
        who = "the best teacher" if len(self.teachers) > 1 else "the teacher"
        told = f"headroom: {who}'s BLEU is {headroom:+.2f} above that of '{PLAIN}'"
        if has_headroom(headroom):
            return f"{told} (at least {HEADROOM_BLEU} are needed for a claim)"
        return (
            f"{told}, less than {HEADROOM_BLEU}: NO CLAIM on {self.test_set}: "
            "it is too near to what its student finds alone, or weak itself"
        )


def what_seeds_allow(num_seeds: int, num_methods: int) -> str:
    """For so many methods against one baseline."""
    told = f"{count_text(num_seeds, 'seed')} allow{'s' * (num_seeds == 1)} no p below {smallest_p_value(num_seeds):.3g}"
    if can_claim(num_seeds, num_methods):
        return told
    needed = seeds_for_significance(num_methods)
    return f"{told}, too few to claim anything about {count_text(num_methods, 'method')}: that takes {needed} seeds"


def samples(runs: Sequence[MeasuredRun], metric: str) -> dict[str, Sample]:
    """By method, in the order of the seeds."""
    values: dict[str, list[float]] = {}
    for run in runs:
        values.setdefault(run.method, []).append(getattr(run, metric))
    return {method: Sample(tuple(found)) for method, found in values.items()}


def contrasts(
    runs: Sequence[MeasuredRun], baselines: Sequence[str], bootstrap: dict[tuple[str, str], Bootstrap]
) -> tuple[Contrast, ...]:
    """Each baseline against the methods that were not held against it before.

    Args:
        runs: of one block.
        bootstrap: by baseline and method.
    """
    found: list[Contrast] = []
    for number, baseline in enumerate(baselines):
        rivals = [method for method in samples(runs, "bleu") if method not in baselines[: number + 1]]
        tests = {}
        for metric in METRICS:
            by_method = samples(runs, metric)
            tests[metric] = paired_tests(by_method[baseline], {method: by_method[method] for method in rivals})
        found += [
            Contrast(
                baseline, method, {metric: tests[metric][method] for metric in METRICS}, bootstrap[baseline, method]
            )
            for method in rivals
        ]
    return tuple(found)


@dataclass(frozen=True)
class Comparison:
    pair: str
    student: str  # its shape in words
    seeds: tuple[int, ...]
    beam: int
    blocks: tuple[ComparedRuns, ...]  # by test set, then by length
    signatures: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def lengths(self) -> list[int]:
        return sorted({block.updates for block in self.blocks})

    @property
    def baselines(self) -> list[str]:
        return list(dict.fromkeys(contrast.baseline for block in self.blocks for contrast in block.contrasts))

    def tables(self) -> list[Table]:
        """Levels and differences of each test set and length, then the differences by length.

        Below the last, how to read them.
        """
        tables = [table for block in self.blocks for table in (self._levels(block), *self._differences(block))]
        if len(self.lengths) > 1:
            tables += [self._by_length(name) for name in dict.fromkeys(block.test_set for block in self.blocks)]
        last = tables[-1]
        lines = [*filter(None, [last.note]), *self._legend(), *self.notes, f"not measured: {' · '.join(NOT_MEASURED)}"]
        return [*tables[:-1], replace(last, note="\n".join(lines))]

    def _levels(self, block: ComparedRuns) -> Table:
        is_short = any(block.sample(method, "elapsed_s").mean < 60 for method in block.methods)
        unit, unit_s = ("seconds", 1) if is_short else ("minutes", 60)
        columns = ["method", *(title for title, _ in METRICS.values()), "valid NLL", f"{unit} a run", "peak MB"]
        rows = [
            [self._title_of(block, teacher), f"{teacher.bleu:.2f}", f"{teacher.chrf:.2f}"]
            + [f"{teacher.test_nll:.3f}", "–", "–", "–", "–"]
            for teacher in block.teachers
        ]
        for method in block.methods:
            values = [spread(block.sample(method, metric), digits) for metric, (_, digits) in METRICS.items()]
            elapsed = Sample(tuple(run.elapsed_s / unit_s for run in block.of(method)))
            values += [spread(block.sample(method, "valid_nll"), 3), spread(elapsed, 1), _peak(block.of(method))]
            rows.append([method, *values])
        title = (
            f"{block.test_set}: {self.pair}, {block.sentences:,} sentences, beam {self.beam}; student {self.student}, "
            f"{block.updates:,} updates, seed{'s' * (len(self.seeds) > 1)} {', '.join(map(str, self.seeds))}"
        )
        return Table(title, columns, rows, block.headroom_text())

    @staticmethod
    def _title_of(block: ComparedRuns, teacher: MeasuredTeacher) -> str:
        """`teacher (5.0 M)`, or its name among the members of an ensemble."""
        name = f"teacher '{teacher.model}'" if len(block.teachers) > 1 else "teacher"
        return f"{name} ({teacher.parameters / 1e6:.1f} M)"

    def _differences(self, block: ComparedRuns) -> list[Table]:
        """Of BLEU, with what may be said of it; and of the other metrics."""
        columns = ["method", "to", "Δ BLEU", "claim", "p", "p Holm", "detectable", "sentences", "seed by seed"]
        rows = []
        for contrast in block.contrasts:
            test = contrast.tests["bleu"]
            p_values = [f"{test.p_value:.3f}", f"{test.holm_p_value:.3f}"]
            sentences = [interval_text((contrast.bootstrap.mean.low, contrast.bootstrap.mean.high))]
            difference = [_difference(test, METRICS["bleu"][1]), contrast.claim(block.headroom_bleu)]
            evidence = [*p_values, _detectable(test), *sentences, contrast.bootstrap_text()]
            rows.append([contrast.method, contrast.baseline, *difference, *evidence])
        others = [metric for metric in METRICS if metric != "bleu"]
        other_columns = [text for metric in others for text in (f"Δ {METRICS[metric][0]}", "p Holm")]
        other_rows = []
        for contrast in block.contrasts:
            row = [contrast.method, contrast.baseline]
            for metric in others:
                test = contrast.tests[metric]
                row += [_difference(test, METRICS[metric][1]), f"{test.holm_p_value:.3f}"]
            other_rows.append(row)
        title = f"{block.test_set}, {block.updates:,} updates: differences"
        return [
            Table(f"{title} in BLEU", columns, rows),
            Table(f"{title} in the rest", ["method", "to", *other_columns], other_rows),
        ]

    def _legend(self) -> list[str]:
        """What the columns mean, and what so many seeds can tell."""
        n = len(self.seeds)
        some = self.blocks[0].contrasts  # the methods are the same in all blocks
        families = {baseline: sum(each.baseline == baseline for each in some) for baseline in self.baselines}
        told = ", ".join(f"{count_text(size, 'method')} to {baseline}" for baseline, size in families.items())
        reach = what_seeds_allow(n, max(families.values()))
        power = f"a paired t test on {count_text(n, 'seed')} finds with {POWER:.0%} power at {ALPHA:.0%} / methods"
        unknown = any(run.peak_memory_bytes is None for block in self.blocks for run in block.runs)
        several = len(self.blocks[0].teachers) > 1
        return [
            (
                "levels: mean ± sd over seeds; NLL and KL(teacher ‖ student) in nats per target token "
                "of the references, teacher-forced"
            ),
            *["KL to teacher: to the mean of the teachers' probabilities, which is what has taught"] * several,
            *self.signatures,
            "minutes (or seconds) a run: wall time of training and its validations, whatever else the machine did; "
            + "a teacher's cache and translations, made once, are not in them",
            "peak MB: the most that a training process of the method held, on the GPU where there was one"
            + " (–: ended by a kill before it was recorded)" * unknown,
            "Δ: mean of the paired differences ± half-width of its 95 % interval (Student's t over seeds)",
            f"p: exact two-sided sign-flip permutation over seeds; {reach}",
            f"p Holm: corrected over methods ({told}); not over baselines, metrics, test sets and lengths",
            (
                f"detectable: the true Δ BLEU that {power}, from the sd of the paired differences "
                "(noncentral t: Cohen 1988, ch. 2); –: no claim with so few seeds"
            ),
            "sentences: 95 % interval of Δ over test sentences, which all seeds share: paired bootstrap of the mean "
            + f"over seeds, {some[0].bootstrap.mean.signature}",
            "seed by seed: in how many that interval of the seed alone is above 0 (+) or below (-)",
            "claim: about BLEU, with headroom and seeds enough; better or worse: "
            + f"p Holm at most {ALPHA}, Δ at least the detectable one, and 0 outside the interval over sentences; "
            + f"equal: within ±{EQUAL_BLEU} by two one-sided t tests at {ALPHA:.0%} / methods, and by that interval",
        ]

    def _by_length(self, test_set: str) -> Table:
        """Whether a gain is a head start, which shrinks with the length, or a better end."""
        blocks = {block.updates: block for block in self.blocks if block.test_set == test_set}
        columns = ["method", "Δ to", *(f"{updates:,} updates" for updates in blocks)]
        by_pair: dict[tuple[str, str], list[str]] = {}
        for block in blocks.values():
            for contrast in block.contrasts:
                cells = by_pair.setdefault((contrast.method, contrast.baseline), [])
                cells.append(_difference(contrast.tests["bleu"], 2))
        rows = [[method, baseline, *cells] for (method, baseline), cells in by_pair.items()]
        note = (
            "a head start shrinks from left to right, a better end does not; every run has a schedule of its own length"
        )
        return Table(f"{test_set}: Δ BLEU by length", columns, rows, note)

    def to_json(self) -> dict[str, Any]:
        return {
            "pair": self.pair,
            "student": self.student,
            "seeds": list(self.seeds),
            "beam": self.beam,
            "signatures": list(self.signatures),
            "smallest_p_value": smallest_p_value(len(self.seeds)),
            "blocks": [self._block_json(block) for block in self.blocks],
            "notes": list(self.notes),
            "not_measured": list(NOT_MEASURED),
        }

    def _block_json(self, block: ComparedRuns) -> dict[str, Any]:
        return {
            "test_set": block.test_set,
            "sentences": block.sentences,
            "updates": block.updates,
            "teachers": [asdict(teacher) for teacher in block.teachers],
            "headroom_bleu": block.headroom_bleu,
            "headroom_suffices": has_headroom(block.headroom_bleu),
            "methods": {
                method: {
                    metric: _sample_json(block.sample(method, metric))
                    for metric in (*METRICS, "valid_nll", "elapsed_s")
                }
                for method in block.methods
            },
            "differences": [
                {
                    "method": contrast.method,
                    "baseline": contrast.baseline,
                    "claim": contrast.claim(block.headroom_bleu),
                    **{metric: _test_json(test) for metric, test in contrast.tests.items()},
                    "sentences": asdict(contrast.bootstrap.mean),
                    "bootstrap": [asdict(result) for result in contrast.bootstrap.by_seed],
                }
                for contrast in block.contrasts
            ],
            "runs": [asdict(run) for run in block.runs],
        }

    def to_csv(self) -> str:
        """A line a run and test set."""
        names = [field.name for field in fields(MeasuredRun)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["pair", "test_set", "teacher_bleu", *names])
        for block in self.blocks:
            for run in block.runs:
                values = asdict(run)
                writer.writerow([self.pair, block.test_set, block.teacher_bleu, *(values[name] for name in names)])
        return text.getvalue()


def spread(sample: Sample, digits: int) -> str:
    return f"{sample.mean:.{digits}f}" + ("" if math.isnan(sample.sd) else f" ± {sample.sd:.{digits}f}")


def _difference(test: PairedTest, digits: int) -> str:
    sample = test.differences
    interval = "" if math.isnan(sample.half_width) else f" ± {sample.half_width:.{digits}f}"
    return f"{sample.mean:+.{digits}f}{interval}"


def _detectable(test: PairedTest) -> str:
    return "–" if math.isnan(test.detectable) else f"{test.detectable:.2f}"


def _peak(runs: Sequence[MeasuredRun]) -> str:
    known = [run.peak_memory_bytes for run in runs if run.peak_memory_bytes is not None]
    return f"{max(known) / 1e6:.0f}" if known else "–"


def _sample_json(sample: Sample) -> dict[str, Any]:
    return {"mean": sample.mean, "sd": sample.sd, "half_width_95": sample.half_width, "values": list(sample.values)}


def _test_json(test: PairedTest) -> dict[str, Any]:
    return {
        "difference": _sample_json(test.differences),
        "p_value": test.p_value,
        "holm_p_value": test.holm_p_value,
        "detectable": test.detectable,
    }
