"""`a2d score --gap`: where the difference between a teacher and its deployed student comes from, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from a2d_cli import __version__, scoring
from a2d_cli.commands.model_on_texts import ModelOnTexts, ScoreRow, check_pair
from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.commands.score_files import P_ERRS, difference_text, score_json
from a2d_cli.commands.scored_text import ScoredText, find_texts
from a2d_cli.commands.table import Table
from a2d_cli.config.schema import Decoding, Recipe
from a2d_cli.errors import ConfigError
from a2d_cli.files import sha256_file, temporary_folder
from a2d_cli.project.exported import Manifest, ct2_exports_of, is_export, read_export, write_manifest
from a2d_cli.project.project import Project
from a2d_cli.project.run import find_model, list_runs
from a2d_cli.project.score_cache import ScoreCache, ScoredModel, describe_export, describe_model
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import PairedResult, ResampledScore

METRICS = ("bleu", "chrf")


@dataclass(frozen=True)
class GapStep:
    """One way to translate the test set, and what it changes against another in one respect alone: in the model, in its
    precision or in the search."""

    name: str
    row: ScoreRow
    against: str  # name of the other; empty for the first
    differences: tuple[PairedResult, ...]  # by metric, in the order of METRICS; none for the first

    def to_json(self) -> dict[str, Any]:
        return {
            "step": self.name,
            "model": self.row.model.name,
            "engine": self.row.result.engine,
            "beam": self.row.result.decoding["beam"],
            "scores": [score_json(score) for score in self.row.scores],
            "against": self.against or None,
            "differences": [asdict(each) for each in self.differences],
            "hypotheses": self.row.result.hypotheses,
        }


@dataclass(frozen=True)
class Gap:
    """The steps from the teacher to the deployed student on one test set."""

    pair: str
    test_set: str
    steps: tuple[GapStep, ...]
    in_all: tuple[PairedResult, ...]  # the last step to the first, both by beam

    def to_json(self) -> dict[str, Any]:
        return {
            "pair": self.pair,
            "test_set": self.test_set,
            "steps": [step.to_json() for step in self.steps],
            "in_all": [asdict(each) for each in self.in_all],
        }

    def table(self) -> Table:
        names = [each.name for each in self.in_all]
        columns = ["step", "against", *(column for name in names for column in (name, f"Δ {name}"))]
        rows = []
        for step in self.steps:
            differences = [difference_text(each) for each in step.differences] or ["–"] * len(names)
            cells = zip((f"{score.value:.2f}" for score in step.row.scores), differences, strict=True)
            rows.append([step.name, step.against, *(text for pair in cells for text in pair)])
        rows.append(
            ["in all", self.steps[0].name, *(text for each in self.in_all for text in ("", difference_text(each)))]
        )
        signatures = [f"{each.name}|{each.signature}" for each in self.in_all]
        note = "\n".join([f"Δ with p and 95 % interval: paired bootstrap; {P_ERRS}", *signatures])
        title = f"{self.test_set}: {self.pair}, {self.steps[0].row.result.sentences} sentences"
        return Table(title, columns, rows, note)


def score_gap(
    project: Project,
    *,
    model: str | None = None,
    test_sets: Sequence[str] | None = None,
    decoding: Decoding | None = None,
    device: str = "auto",
    reporter: Reporter,
    refresh: bool = False,
    with_speed: bool = True,
) -> list[Gap]:
    """One a test set: teacher, student and student in int8, each greedily and by beam.

    What scores/ holds is not translated again. A student without an int8 export is quantised for this alone.

    Args:
        model: a student's run name or folder; None = the best by validation.
        test_sets: names; None = all.
        decoding: None = the recipe's.
        refresh: translate anew, whatever scores/ holds.
        with_speed: False: no speed is kept of what is translated, which 'a2d score' would show.

    Raises:
        ConfigError: no teacher or student, or an unknown model or test set.
        A2DError: a checkpoint that cannot be read, or CTranslate2 is missing.
    """
    recipe = prepared_recipe(project)
    beam = replace(decoding or recipe.decoding, nbest=1)
    greedy = replace(beam, beam=1)
    texts = find_texts(project, recipe, test_sets)
    student = _find_student(project, model, recipe.pair, reporter)
    teacher = _find_teacher(project, student, recipe.pair)
    cache = ScoreCache(project.scores_dir)
    rows: dict[str, list[tuple[str, str, ScoreRow]]] = {text.name: [] for text in texts}
    with ExitStack() as stack:
        plan = [
            ("teacher", "", teacher, (beam, greedy)),
            ("student", "teacher", student, (beam, greedy)),
            ("int8 student", "student", _find_int8(project, student, beam, stack), (greedy, beam)),
        ]
        for who, before, scored, ways in plan:
            for way in dict.fromkeys(ways):  # one, if the recipe itself is greedy
                translated = ModelOnTexts(scored, way, device, recipe.tgt_lang, cache, reporter, with_speed)
                if who == "int8 student" or way == beam:
                    against = f"{before}, {_search(way)}" if before else ""
                else:
                    against = f"{who}, {_search(beam)}"
                for text in texts:
                    rows[text.name].append((f"{who}, {_search(way)}", against, translated.score(text, refresh)))
    return [_gap(text, rows[text.name], cache, recipe) for text in texts]


def _search(way: Decoding) -> str:
    return "greedy" if way.beam == 1 else f"beam {way.beam}"


def _find_student(project: Project, name: str | None, pair: str, reporter: Reporter) -> ScoredModel:
    folder = find_model(project, name, reporter).absolute()
    if is_export(folder):
        raise ConfigError(f"{folder} is an export", "name the run that it was made from")
    student = describe_model(folder)
    if student.kind == "teacher":
        if name is None:
            raise ConfigError(f"{project.folder}: no student is trained yet", project.command("distill"))
        raise ConfigError(f"'{name}' is a teacher; the gap is a student's", "name a student with --model")
    check_pair(student, pair)
    return student


def _find_teacher(project: Project, student: ScoredModel, pair: str) -> ScoredModel:
    """The one that the student was distilled from (of an ensemble the first made), else the project's first."""
    runs = [run for run in list_runs(project) if run.info.get("kind") == "teacher" and run.best_dir.exists()]
    teachers = [each for each in (describe_model(run.folder.absolute()) for run in runs) if each.pair == pair]
    if not teachers:
        raise ConfigError(f"{project.folder}: no teacher to compare with", project.command("train-teacher"))
    own = [each for each in teachers if student.is_taught_by(each)]
    return (own or teachers)[0]


def _find_int8(project: Project, student: ScoredModel, decoding: Decoding, stack: ExitStack) -> ScoredModel:
    """The student's int8 export, or one made for now."""
    exports = [each for each in ct2_exports_of(project, student.weights_sha256) if each.manifest.quantization == "int8"]
    if exports:
        return describe_export(exports[0])
    folder = stack.enter_context(temporary_folder("a2d-int8-"))
    _quantise(student, decoding, folder)
    return describe_export(read_export(folder))


def _quantise(student: ScoredModel, decoding: Decoding, folder: Path) -> None:
    """An export to measure and to throw away, not proved by anything."""
    from a2d_cli.export.ctranslate2 import write_ctranslate2
    from a2d_cli.project.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(student.folder)
    write_ctranslate2(checkpoint.model, checkpoint.tokenizer, folder, "int8")
    checkpoint.tokenizer.save(folder)
    manifest = Manifest(
        to="ct2",
        quantization="int8",
        created="",
        a2d=__version__,
        pair=student.pair,
        name=student.name,
        kind=student.kind,
        method=student.method,
        seed=student.seed,
        parameters=student.parameters,
        weights_sha256=student.weights_sha256,
        tokenizer=checkpoint.tokenizer.fingerprint,
        shape=asdict(checkpoint.model.shape),
        decoding=asdict(decoding),
        data={},
        teacher=None,
        checks={},
        files={path.name: sha256_file(path) for path in sorted(folder.iterdir())},
    )
    write_manifest(folder, manifest)


def _gap(text: ScoredText, rows: list[tuple[str, str, ScoreRow]], cache: ScoreCache, recipe: Recipe) -> Gap:
    draws = {
        name: [
            scoring.resample(cache.hypotheses(row.result), [text.tgt], metric, tgt_lang=recipe.tgt_lang)
            for metric in METRICS
        ]
        for name, _, row in rows
    }
    steps = [
        GapStep(name, row, against, _differences(draws[against], draws[name]) if against else ())
        for name, against, row in rows
    ]
    first, last = rows[0][0], rows[-1][0]
    return Gap(recipe.pair, text.name, tuple(steps), _differences(draws[first], draws[last]))


def _differences(before: list[ResampledScore], after: list[ResampledScore]) -> tuple[PairedResult, ...]:
    return tuple(scoring.compare(old, new) for old, new in zip(before, after, strict=True))
