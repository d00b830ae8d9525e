"""`a2d score`: the models of a project on its test sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from a2d_cli import scoring
from a2d_cli.commands.model_on_texts import ModelOnTexts, ScoreRow, check_pair
from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.commands.provenance import what_changed_since
from a2d_cli.commands.score_files import P_ERRS, difference_text, signature_lines
from a2d_cli.commands.scored_result import own_teacher
from a2d_cli.commands.scored_text import ScoredText, find_texts
from a2d_cli.commands.table import Table
from a2d_cli.config.schema import Decoding
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.export.model_card import CARD, write_model_card
from a2d_cli.project.exported import broken_exports, ct2_exports_of, is_export, list_exports, read_export
from a2d_cli.project.project import Project
from a2d_cli.project.run import find_model, list_runs
from a2d_cli.project.score_cache import (
    NO_SPEED,
    ScoreCache,
    ScoredModel,
    describe_export,
    describe_model,
)
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import PairedResult, ResampledScore


@dataclass(frozen=True)
class ScoreTable:
    """Every model on every test set: set by set, the teacher first."""

    pair: str
    decoding: Decoding
    rows: tuple[ScoreRow, ...]

    def to_json(self) -> dict[str, Any]:
        rows = [row.to_json() for row in self.rows]
        return {"pair": self.pair, "decoding": asdict(self.decoding), "rows": rows}

    def tables(self) -> list[Table]:
        """One a test set."""
        sets: dict[str, list[ScoreRow]] = {}
        for row in self.rows:
            sets.setdefault(row.result.test_set, []).append(row)
        return [self._table(name, rows) for name, rows in sets.items()]

    def _table(self, test_set: str, rows: list[ScoreRow]) -> Table:
        # Runs are named after their method unless someone chose another name.
        shows_method = any(not row.model.name.startswith(row.model.method) for row in rows)
        columns = ["model", *["method"] * shows_method, *(score.name for score in rows[0].scores)]
        columns += ["Δ BLEU to teacher", "Δ BLEU to plain student", "params", "size MB", "sent/s"]
        cells = [
            [row.model.name, *[row.model.method or "–"] * shows_method]
            + [f"{score.value:.2f}" for score in row.scores]
            + [difference_text(row.to_teacher), difference_text(row.to_plain)]
            + [f"{row.model.parameters / 1e6:.2f} M", f"{row.model.file_bytes / 1e6:.1f}"]
            + [row.result.speed_text + "*" * (row.cached and row.result.sentences_per_s is not None)]
            for row in rows
        ]
        notes = [signature_lines(score for row in rows for score in row.scores)]
        differences = [found for row in rows for found in (row.to_teacher, row.to_plain) if found]
        if differences:
            notes.append(f"Δ with p and 95 % interval: paired bootstrap, {differences[0].signature}; {P_ERRS}")
        if any(row.to_plain is None and _wants_plain(row) for row in rows) and any(
            row.model.method == "ce" for row in rows
        ):
            notes.append(
                "plain student: a 'ce' student of as many parameters and updates and of the same settings, "
                "of the same seed or the only one"
            )
        ensembles = [
            row.model.name
            for row in rows
            if "," in row.model.teacher and any(row.model.is_taught_by(other.model) for other in rows)
        ]
        if ensembles:
            notes.append(f"of several teachers, Δ to the best: {', '.join(ensembles)}")
        title = f"{test_set}: {self.pair}, {rows[0].result.sentences} sentences, beam {self.decoding.beam}"
        return Table(title, columns, cells, "\n".join(notes + _speed_notes(rows)))


def score_project(
    project: Project,
    *,
    models: Sequence[str] | None = None,
    test_sets: Sequence[str] | None = None,
    decoding: Decoding | None = None,
    device: str = "auto",
    reporter: Reporter,
    refresh: bool = False,
    with_speed: bool = True,
) -> ScoreTable:
    """Score the project's finished runs, or the models named, on its test sets.

    Translations are kept in scores/: what was translated before with the same weights, text, settings and
    engine is read back. Differences are taken between the models of the table.

    Args:
        models: run names, run folders or checkpoint folders; None = every finished run.
        test_sets: names; None = all.
        decoding: None = the recipe's.
        device: auto, cpu, cuda or cuda:N.
        refresh: translate anew, whatever scores/ holds.
        with_speed: False: other work shares the machine, so that times would say nothing.

    Raises:
        ConfigError: nothing prepared or trained, or an unknown model or test set.
        A2DError: a checkpoint of another language pair; one that cannot be read, if it was named or no other is left.
    """
    recipe = prepared_recipe(project)
    settings = replace(decoding or recipe.decoding, nbest=1)
    texts = find_texts(project, recipe, test_sets)
    cache = ScoreCache(project.scores_dir)
    for problem in broken_exports(project):
        reporter.warn(f"an export is left out: {problem}")
    rows: dict[str, list[ScoreRow]] = {text.name: [] for text in texts}
    found = find_models(project, models, recipe.pair, reporter)
    unusable: list[A2DError] = []
    for model in found:
        translated = ModelOnTexts(model, settings, device, recipe.tgt_lang, cache, reporter, with_speed)
        try:
            if refresh or not all(map(translated.has_translated, texts)):
                translated.load()
        except A2DError as error:
            if models is not None:  # asked for by name
                raise
            reporter.warn(f"{model.name} is left out: {error}")
            unusable.append(error)
            continue
        for text in texts:
            rows[text.name].append(translated.score(text, refresh))
    if len(unusable) == len(found):
        raise unusable[0]
    _renew_model_cards(project, {model.weights_sha256 for model in found}, cache, reporter)
    compared = [row for text in texts for row in _compare(rows[text.name], text, cache, recipe.tgt_lang)]
    return ScoreTable(recipe.pair, settings, tuple(compared))


def _renew_model_cards(project: Project, weights: set[str], cache: ScoreCache, reporter: Reporter) -> None:
    """Of the project's exports of these weights: an export is made before it can be scored."""
    for exported in list_exports(project):
        if exported.manifest.weights_sha256 in weights:
            try:
                if not write_model_card(exported.folder, exported.manifest, cache):
                    reporter.info(f"{exported.folder / CARD} was edited: it is left as it is, without newer scores")
            except A2DError as error:
                reporter.warn(f"the scores are not in every model card: {error.message}")


def find_models(project: Project, names: Sequence[str] | None, pair: str, reporter: Reporter) -> list[ScoredModel]:
    if names is None:
        models, runs = [], list_runs(project, reporter)
        changed = what_changed_since(project, runs)
        for run in runs:
            if run.is_finished:
                try:
                    model = describe_model(run.folder.absolute())
                    check_pair(model, pair)
                except A2DError as error:
                    reporter.warn(f"{run.name} is left out: {error}")
                else:
                    if run.name in changed:
                        reporter.warn(f"{run.name} was {changed[run.name]}")
                    models += _with_exports(project, model, reporter)
            else:
                reporter.info(f"{run.name}: still in training, left out (name it to score its best so far)")
    else:
        models = [_describe(find_model(project, name).absolute()) for name in dict.fromkeys(names)]
    if not models:
        hint = "run 'a2d train-teacher', then 'a2d distill'; 'a2d status' tells what is done"
        raise ConfigError(f"{project.folder}: no finished run to score", hint)
    for model in models:
        check_pair(model, pair)
    return models


def _with_exports(project: Project, model: ScoredModel, reporter: Reporter) -> list[ScoredModel]:
    """A run's model, and what was exported of exactly its weights."""
    try:
        return [model, *map(describe_export, ct2_exports_of(project, model.weights_sha256))]
    except A2DError as error:
        reporter.warn(f"exports of {model.name} are left out: {error}")
        return [model]


def _describe(folder: Path) -> ScoredModel:
    if not is_export(folder):
        return describe_model(folder)
    exported = read_export(folder)
    if exported.manifest.to != "ct2":
        raise ConfigError(f"{folder}: a Hugging Face export, which a2d does not run", "name the run it was made from")
    return describe_export(exported)


def _compare(rows: list[ScoreRow], text: ScoredText, cache: ScoreCache, tgt_lang: str) -> list[ScoreRow]:
    """Fill in the differences of one test set's rows."""
    draws: dict[str, ResampledScore] = {}  # by translation: drawn once, however many pairs need it

    def draw(row: ScoreRow) -> ResampledScore:
        name = row.result.hypotheses
        if name not in draws:
            draws[name] = scoring.resample(cache.hypotheses(row.result), [text.tgt], tgt_lang=tgt_lang)
        return draws[name]

    def difference(baseline: ScoreRow | None, row: ScoreRow) -> PairedResult | None:
        return scoring.compare(draw(baseline), draw(row)) if baseline else None

    return [
        replace(
            row,
            to_teacher=difference(_teacher_of(row, rows), row),
            to_plain=difference(_plain_student_for(row, rows), row),
        )
        for row in rows
    ]


def _teacher_of(row: ScoreRow, rows: Sequence[ScoreRow]) -> ScoreRow | None:
    """As `own_teacher`; None for a teacher."""
    if row.model.kind == "teacher":
        return None
    teachers = [other for other in rows if other.model.kind == "teacher" and not other.model.is_export]
    return own_teacher(row.model.teacher, teachers)


def _wants_plain(row: ScoreRow) -> bool:
    return row.model.kind == "student" and row.model.method != "ce"


def _plain_student_for(row: ScoreRow, rows: Sequence[ScoreRow]) -> ScoreRow | None:
    """The `ce` student of the same size, trained by the same settings as long: of the same seed, else the only one."""
    if not _wants_plain(row):
        return None
    runs = [other for other in rows if not other.model.is_export]
    trained = row
    if row.model.is_export:  # as the run of its weights was
        trained = next((other for other in runs if other.model.weights_sha256 == row.model.weights_sha256), row)

    def cost(each: ScoreRow) -> tuple[int, int | None, str]:
        return each.model.parameters, each.model.updates, each.model.trained_as

    plain = [
        other
        for other in runs
        if other.model.kind == "student" and other.model.method == "ce" and cost(other) == cost(trained)
    ]
    same_seed = [other for other in plain if other.model.seed == row.model.seed] or plain
    return same_seed[0] if len(same_seed) == 1 else None


def _speed_notes(rows: Sequence[ScoreRow]) -> list[str]:
    """Where speeds were measured; and when, if by an earlier command."""
    here: dict[str, list[str]] = {}
    earlier: dict[str, list[str]] = {}
    timed = [row for row in rows if row.result.sentences_per_s is not None]
    for row in timed:
        if row.cached:
            day = row.result.translated_at[:10]
            earlier.setdefault(f"{day} on {row.result.machine}", []).append(row.model.name)
        else:
            here.setdefault(row.result.machine, []).append(row.model.name)
    everywhere = f" on {next(iter(here))}" if len(here) == 1 else ""
    notes = [f"sent/s: sentences per second{everywhere}, without loading the model"]
    notes += [NO_SPEED] * (len(timed) < len(rows))
    if len(here) > 1:
        notes += [f"on {machine}: {', '.join(names)}" for machine, names in here.items()]
    return notes + [f"* measured before, {where}: {', '.join(names)}" for where, names in earlier.items()]
