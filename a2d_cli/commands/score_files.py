"""`a2d score HYPOTHESES --reference FILE`: text files against references."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from a2d_cli import scoring
from a2d_cli.commands.table import Table
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.project.project import Project
from a2d_cli.scoring import PairedResult, Score, check_lines

STDIN = "-"
METRICS = ("bleu", "chrf")  # where none is named
P_ERRS = "p, which is sacrebleu's, errs on the small side: the interval counts"


@dataclass(frozen=True)
class FileScore:
    """One metric of one hypothesis file, and its difference to the first file where there are several."""

    system: str
    score: Score
    difference: PairedResult | None = None

    def to_json(self) -> dict[str, Any]:
        paired = {"paired": asdict(self.difference)} if self.difference else {}
        return {"system": self.system, **score_json(self.score), **paired}


def score_files(
    hypotheses: Sequence[Path | str],
    references: Sequence[Path | str],
    metrics: Sequence[str] = METRICS,
    *,
    bootstrap: int = 0,
    tgt_lang: str = "",
) -> list[FileScore]:
    """Score text files, one sentence a line; '-' is stdin.

    Args:
        hypotheses: one file a system; the others are compared to the first by the paired bootstrap.
        references: one file a reference.
        bootstrap: resamples for confidence intervals; 0 = none for one system, 1000 for several.
        tgt_lang: lets BLEU choose its tokenizer (zh, ja, ko); otherwise 13a.

    Raises:
        ConfigError: unknown metric, one side not named, a missing file, or stdin named twice.
        A2DError: empty file, no UTF-8, or different numbers of lines (names both counts).
    """
    if not hypotheses or not references:
        raise ConfigError(
            "scoring files takes both: HYPOTHESES and --reference FILE",
            "for example 'a2d score hyp.txt --reference ref.txt'",
        )
    if [str(path) for path in (*hypotheses, *references)].count(STDIN) > 1:
        raise ConfigError("'-' stands for stdin and can be named once", "write the other text to a file")
    for path in (*hypotheses, *references):
        if str(path) != STDIN and not Path(path).exists():
            raise ConfigError(f"{path}: no such file", "check the file's name")
    systems = [(_name(path), read_lines(path)) for path in hypotheses]
    named_references = [(_name(path), read_lines(path)) for path in references]
    for system in systems:
        check_lines({name: len(lines) for name, lines in (system, *named_references)})
    texts = [lines for _, lines in named_references]
    if len(systems) == 1:
        name, lines = systems[0]
        return [
            FileScore(name, result) for result in scoring.score(lines, texts, metrics, bootstrap, tgt_lang=tgt_lang)
        ]
    results = []
    for metric in metrics:
        resamples = bootstrap or scoring.RESAMPLES
        draws = [scoring.resample(lines, texts, metric, resamples, tgt_lang=tgt_lang) for _, lines in systems]
        results.append(FileScore(systems[0][0], draws[0].score))
        for (name, _), draw in zip(systems[1:], draws[1:], strict=True):
            results.append(FileScore(name, draw.score, scoring.compare(draws[0], draw)))
    return results


def language_of(project: Project) -> str:
    """Of the targets of a prepared project; empty where there is none."""
    return read_project_recipe(project.recipe_path).tgt_lang if project.recipe_path.is_file() else ""


def refuse_models(project: Project, hypotheses: Sequence[Path]) -> None:
    """Raises ConfigError: they are runs or folders, which `--model` takes."""
    models = [
        path for path in hypotheses if path.is_dir() or (not path.exists() and (project.runs_dir / path).is_dir())
    ]
    if models:
        named = " ".join(f"--model {shlex.quote(str(path))}" for path in models)
        raise ConfigError(f"{models[0]}: a model, not a file of translations", project.command(f"score {named}"))


def file_table(results: Sequence[FileScore]) -> Table:
    """One row a system and metric; the signatures below."""
    columns = ["system", "metric", "score", "95 % CI", f"Δ to {results[0].system}"]
    rows = []
    for result in results:
        confidence = interval_text(result.score.confidence) if result.score.confidence else ""
        name, value = result.score.name, f"{result.score.value:.2f}"
        rows.append([result.system, name, value, confidence, difference_text(result.difference)])
    notes = [signature_lines(result.score for result in results)]
    if any(result.difference for result in results):
        notes.append(f"Δ with p and 95 % interval: paired bootstrap; {P_ERRS}")
    else:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    if not any(result.score.confidence for result in results):
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    return Table("", columns, rows, "\n".join(notes))


def read_lines(path: Path | str) -> list[str]:
    """Lines end with '\\n' and nothing else, as sacrebleu has it."""
    if str(path) == STDIN and sys.stdin is None:
        raise A2DError("stdin is closed", "name a file, or pipe lines in")
    try:
        data = sys.stdin.buffer.read() if str(path) == STDIN else Path(path).read_bytes()
    except OSError as error:
        raise A2DError(f"{path}: cannot be read: {error.strerror}", "check the file's name") from None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        raise A2DError(f"{_name(path)}: line {number} is not UTF-8", "convert the file, e.g. with iconv") from None
    return text.removesuffix("\n").split("\n") if text else []


def _name(path: Path | str) -> str:
    return "stdin" if str(path) == STDIN else str(path)


def score_json(score: Score) -> dict[str, Any]:
    values: dict[str, Any] = {"name": score.name, "score": score.value, "signature": score.signature}
    if score.verbose:
        values["verbose_score"] = score.verbose
    if score.confidence:
        values["confidence"] = list(score.confidence)
    return values


def interval_text(bounds: tuple[float, float]) -> str:
    return f"[{bounds[0]:.2f},{bounds[1]:.2f}]"  # one word, so that a narrow table does not break it


def difference_text(result: PairedResult | None) -> str:
    if result is None:
        return "–"
    return f"{result.delta:+.2f} p={result.p_value:.3f} {interval_text((result.low, result.high))}"


def signature_lines(scores: Iterable[Score]) -> str:
    return "\n".join(dict.fromkeys(f"{score.name}|{score.signature}" for score in scores))
