"""`a2d score`: the models of a project on its test sets."""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2d_cli import __version__, scoring
from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.commands.provenance import what_changed_since
from a2d_cli.commands.score_files import P_ERRS, difference_text, read_lines, score_json, signature_lines
from a2d_cli.commands.scored_result import ScoredResult, own_teacher
from a2d_cli.commands.table import Table
from a2d_cli.config.keys import first_of
from a2d_cli.config.schema import Decoding, Recipe
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.export.model_card import CARD, write_model_card
from a2d_cli.files import fingerprint, sha256_file
from a2d_cli.project.exported import Manifest, broken_exports, ct2_exports_of, is_export, list_exports, read_export
from a2d_cli.project.project import Project
from a2d_cli.project.run import find_model, list_runs
from a2d_cli.project.score_cache import (
    NO_SPEED,
    Result,
    ScoreCache,
    ScoredModel,
    describe_export,
    describe_model,
)
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import PairedResult, ResampledScore

if TYPE_CHECKING:
    from a2d_cli.decoding.translator import Translator


VALID = "valid"  # the validation text, where it is asked for like a test set


@dataclass(frozen=True)
class ScoredText:
    """A test set."""

    name: str
    src: list[str]
    tgt: list[str]
    src_sha256: str
    tgt_sha256: str


@dataclass(frozen=True)
class ScoreRow(ScoredResult):
    """A model on a test set; the differences are those of BLEU."""

    model: ScoredModel
    result: Result
    cached: bool  # translated, and its speed measured, by an earlier command
    to_teacher: PairedResult | None = None
    to_plain: PairedResult | None = None  # to the student of the same size and training that learned from text alone

    def to_json(self) -> dict[str, Any]:
        model, result = self.model, self.result
        return {
            "model": model.name,
            "kind": model.kind,
            "method": model.method,
            "seed": model.seed,
            "test_set": result.test_set,
            "scores": [score_json(score) for score in self.scores],
            "to_teacher": asdict(self.to_teacher) if self.to_teacher else None,
            "to_plain": asdict(self.to_plain) if self.to_plain else None,
            "parameters": model.parameters,
            "file_bytes": model.file_bytes,
            "sentences_per_s": result.sentences_per_s,
            "translated_at": result.translated_at,
            "machine": result.machine,
            "engine": result.engine,
            "cached": self.cached,
            "hypotheses": result.hypotheses,
            "weights_sha256": model.weights_sha256,
        }


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


def check_pair(model: ScoredModel | Manifest, pair: str) -> None:
    """Raises A2DError: it translates another pair of languages than the project's."""
    if model.pair != pair:
        message = f"model '{model.name}' translates {model.pair}, the project's test sets are {pair}"
        raise A2DError(message, "name a model of this language pair")


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


def find_texts(project: Project, recipe: Recipe, names: Sequence[str] | None) -> list[ScoredText]:
    """All test sets, the recipe's first; or those named, of which `valid` may be one, to choose settings by.

    Raises:
        ConfigError: there is none, or none of that name.
        A2DError: a file of one is gone, or cut short.
    """
    known = sorted(project.state()["prepared"]["tests"], key=lambda name: (name not in recipe.data.tests, name))
    if not known and not names:
        hint = "add data.tests to the recipe and run 'a2d prepare' again"
        if any(files.optional for test in recipe.data.tests.values() for files in test):  # which could not be had
            hint = f"'{project.command('prepare --overwrite')}' looks again for those that were left out"
        raise ConfigError(f"{project.text_dir}: no test set", hint)
    for name in names or ():
        if name not in (*known, VALID):
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"the project has: {first_of(known) or 'none'}"
            raise ConfigError(f"no test set '{name}'", hint)
    return [_read_text(project, recipe, name) for name in dict.fromkeys(names or known)]


def _read_text(project: Project, recipe: Recipe, name: str) -> ScoredText:
    paths = [project.text_path(name, lang) for lang in (recipe.src_lang, recipe.tgt_lang)]
    anew = f"'{project.command('prepare')}' makes it anew"
    for path in paths:
        if not path.is_file():
            raise A2DError(f"{path}: no such file", anew)
    src, tgt = (read_lines(path) for path in paths)
    if len(src) != len(tgt):
        raise A2DError(f"{paths[0]} has {len(src)} lines, {paths[1].name} has {len(tgt)}", f"delete both: {anew}")
    return ScoredText(name, src, tgt, sha256_file(paths[0]), sha256_file(paths[1]))


def load_model(model: ScoredModel, decoding: Decoding, device: str) -> Translator:
    """A checkpoint or an export, to translate with.

    Raises:
        A2DError: it cannot be read, or the device is absent.
    """
    from a2d_cli.commands.opened_model import open_checkpoint, open_export

    opened = (
        open_export(read_export(model.folder), device) if model.is_export else open_checkpoint(model.folder, device)
    )
    return opened.with_settings(decoding)


def engine_version(model: ScoredModel) -> str:
    package = "ctranslate2" if model.is_export else "torch"
    return f"{package} {version(package)}"


class ModelOnTexts:
    """Scores one model; its weights are loaded when the first text has to be translated, unless `load` has done it."""

    def __init__(
        self,
        model: ScoredModel,
        decoding: Decoding,
        device: str,
        tgt_lang: str,
        cache: ScoreCache,
        reporter: Reporter,
        with_speed: bool = True,
    ):
        self._model, self._decoding, self._device = model, decoding, device
        self._tgt_lang, self._cache, self._reporter, self._with_speed = tgt_lang, cache, reporter, with_speed
        self._translator: Translator | None = None
        self._is_warm = False

    def _key(self, text: ScoredText) -> str:
        engine = [__version__, engine_version(self._model), self._device]
        return fingerprint([self._model.identity, text.src_sha256, asdict(self._decoding), engine])

    def has_translated(self, text: ScoredText) -> bool:
        """Whether scores/ holds it."""
        return self._cache.find(self._key(text)) is not None

    def load(self) -> Translator:
        """Read the weights, once.

        Raises:
            A2DError: they are gone or broken.
        """
        if self._translator is None:
            self._translator = load_model(self._model, self._decoding, self._device)
        return self._translator

    def score(self, text: ScoredText, refresh: bool) -> ScoreRow:
        key = self._key(text)
        known = None if refresh else self._cache.find(key)
        result = known or self._translate(text, key)
        if not self._scores_stand(result, text, self._tgt_lang):
            lines = self._cache.hypotheses(result)
            scores = scoring.score(lines, [text.tgt], tgt_lang=self._tgt_lang)
            result = replace(result, tgt_sha256=text.tgt_sha256, scores=[asdict(score) for score in scores])
            self._cache.add(result)
        # A run or a test set that was renamed keeps its translations.
        result = replace(result, model=self._model.name, test_set=text.name)
        return ScoreRow(self._model, result, cached=known is not None)

    @staticmethod
    def _scores_stand(result: Result, text: ScoredText, tgt_lang: str) -> bool:
        """Whether they are those of this reference, this sacrebleu and this language's tokenizer."""
        signatures = [score["signature"] for score in result.scores]
        mark, tokenizer = f"version:{version('sacrebleu')}", f"tok:{scoring.bleu_tokenizer(tgt_lang)}"
        by_this_version = bool(signatures) and all(mark in signature for signature in signatures)
        cut_alike = all(tokenizer in signature for signature in signatures if "tok:" in signature)
        return by_this_version and cut_alike and result.tgt_sha256 == text.tgt_sha256

    def _translate(self, text: ScoredText, key: str) -> Result:
        model = self._model
        translator = self.load()
        if self._with_speed and not self._is_warm:
            translator.translate(text.src[: self._decoding.batch_sentences])
            self._is_warm = True
        cut: list[int] = []
        with self._reporter.progress(f"{model.name} translates {text.name}", len(text.src), "sentences") as progress:
            began = time.perf_counter()
            found = translator.translate(text.src, on_done=progress.advance, on_cut=lambda line, _: cut.append(line))
            translation_s = time.perf_counter() - began
        if cut:
            self._reporter.warn(
                f"{text.name}: {len(cut)} sentences were longer than the model takes and were cut "
                f"to {translator.max_source_tokens} tokens ({translator.source_limit})"
            )
        lines = [translations[0].text for translations in found]
        file_name = f"{model.name.replace('/', '-').replace(' ', '-')}.{text.name}.{key[:8]}.{self._tgt_lang}"
        return Result(
            key=key,
            model=model.name,
            test_set=text.name,
            translated_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            hypotheses=file_name,
            hypotheses_sha256=self._cache.write_hypotheses(file_name, lines),
            src_sha256=text.src_sha256,
            tgt_sha256=text.tgt_sha256,
            weights_sha256=model.weights_sha256,
            parameters=model.parameters,
            file_bytes=model.file_bytes,
            decoding=asdict(self._decoding),
            sentences=len(lines),
            translation_s=translation_s if self._with_speed else None,
            machine=translator.engine.machine,
            a2d=__version__,
            engine=engine_version(model),
            scores=[],
        )


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
