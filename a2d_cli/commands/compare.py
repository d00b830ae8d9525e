"""`a2d compare`: methods side by side, with the same seeds, weights, batches and decoding, and what may be said of them."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import groupby
from typing import Any

from a2d_cli import __version__, scoring
from a2d_cli.commands.bench import read_numbers
from a2d_cli.commands.compare_fairness import (
    notes_on,
    refuse_early_ends,
    refuse_other_settings,
    refuse_unequal,
)
from a2d_cli.commands.compare_grid import Cell, Launch, make_cells, train_grid
from a2d_cli.commands.compare_record import Grid, KeptComparison, keep
from a2d_cli.commands.compare_report import Block, Comparison, MeasuredRun, MeasuredTeacher, contrasts
from a2d_cli.commands.distill import matching_teacher as load_teacher
from a2d_cli.commands.pseudo import teacher_text
from a2d_cli.commands.score import ModelOnTexts, ScoredText, ScoreRow, find_texts
from a2d_cli.comparison import MAX_SEEDS
from a2d_cli.config.loader import parse_student, read_project_recipe
from a2d_cli.config.schema import Decoding, Recipe
from a2d_cli.data.batching import SpecialIds
from a2d_cli.distillation.fidelity import EncodedText, FidelityTest
from a2d_cli.distillation.methods import parse_method
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.errors import ConfigError
from a2d_cli.files import fingerprint
from a2d_cli.project.checkpoint import Checkpoint, load_checkpoint
from a2d_cli.project.fidelity_cache import FidelityResult, open_fidelity_cache
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.project.score_cache import ScoreCache, ScoredModel, describe_model
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import PairedResult, ResampledScore
from a2d_cli.training.distributed import choose_device

BASELINES = ("ce", "word")  # those of them that are compared
# Every method gets the same number of updates: nothing else may end a run.
ONE_END = ("student_training.patience=0", "student_training.max_epochs=0", "student_training.max_hours=0")


@dataclass(frozen=True)
class Request:
    """What is asked for; tuples as typed, where empty: the usual."""

    methods: tuple[str, ...]
    seeds: tuple[int, ...]
    lengths: tuple[int, ...] = ()  # updates; the recipe's
    baselines: tuple[str, ...] = ()  # ce and word, where they are compared
    test_sets: tuple[str, ...] = ()  # all of the recipe
    student: str | None = None
    settings: tuple[str, ...] = ()  # KEY=VALUE
    jobs: int = 1
    threads: int = 1

    def command(self, methods: Sequence[str], lengths: Sequence[int]) -> str:
        """What asks for the same, without the leading `a2d`; methods and lengths as they were understood."""
        several = self.seeds if len(self.seeds) > 1 else self.seeds * 2  # `3` would be 1 to 3, `3,3` is one seed
        is_count = self.seeds == tuple(range(1, len(self.seeds) + 1))
        seeds = str(len(self.seeds)) if is_count else ",".join(map(str, several))
        words = ["compare", "--methods", ",".join(methods), "--seeds", seeds, "--updates", ",".join(map(str, lengths))]
        words += ["--student", self.student] if self.student else []
        words += ["--jobs", str(self.jobs), "--threads", str(self.threads)] if self.jobs > 1 else []
        repeatable = {"--baseline": self.baselines, "--test-set": self.test_sets, "--set": self.settings}
        return shlex.join([*words, *(part for option, values in repeatable.items() for value in values for part in (option, value))])


def read_seeds(text: str) -> tuple[int, ...]:
    """`5` are the seeds 1 to 5; `1,4,7` are these three.

    Raises:
        ConfigError: no numbers from 1, or more than the permutation test takes.
    """
    numbers = read_numbers("--seeds", text)
    seeds = tuple(range(1, numbers[0] + 1)) if "," not in text else numbers
    if not 1 <= len(seeds) <= MAX_SEEDS:
        raise ConfigError(f"--seeds {text}: from 1 to {MAX_SEEDS} seeds can be compared", "for example --seeds 5, or --seeds 3,4,5")
    return seeds


def compare(project: Project, request: Request, resume_command: str, reporter: Reporter) -> Comparison:
    """Train what is missing of the grid, measure every run on the test sets, and test the differences.

    Raises:
        ConfigError: unknown method, test set or key; runs with other settings than asked (names them).
        A2DError: runs failed, or are not comparable (names them).
        Interrupted: what is done so far is kept.
    """
    project.require_prepared()
    recipe, methods = _resolve(project, request, reporter)
    baselines = _baselines(recipe, request, methods)
    texts = _texts(project, recipe, request)
    lengths = request.lengths or (recipe.student_training.max_updates,)
    if len(lengths) > 1 and recipe.student_training.schedule == "inverse_sqrt":
        reporter.warn(
            "student_training.schedule is inverse_sqrt, without a cool-down: a short run is then no finished run, and the "
            "lengths are hard to compare; --set student_training.schedule=inverse_sqrt_cooldown"
        )
    teacher = load_teacher(project, recipe)
    if Run(teacher.folder.parent).info.get("finished") is False:
        raise ConfigError(f"the training of {teacher.folder.parent} has not ended: runs would learn from different teachers", "let it end first")
    cells = make_cells(project, methods, lengths, request.seeds)
    refuse_early_ends(recipe)
    facts: dict[str, dict[str, Any]] = {name: {"teacher": teacher.weights_sha256[:16]} for name in methods}
    for name in methods:
        if "seq" in name.split("+"):
            facts[name]["pseudo"] = teacher_text(project, recipe, resume_command, reporter).facts()
    refuse_other_settings(project, recipe, facts, cells)
    options = [*(["--student", request.student] if request.student else [])]
    options += [part for setting in (*ONE_END, *request.settings) for part in ("--set", setting)]
    score_options = _score_options(project, recipe, texts) if request.jobs > 1 else ()
    if request.jobs > 1 and not score_options and not all(cell.run.is_finished for cell in cells):
        reporter.info(
            "the models are scored one after the other, when all are trained: beside training only with the decoding settings of "
            f"{project.recipe_path}, but for the beam"
        )
    unscored = _unscored(project, recipe, teacher, cells, texts, reporter) if score_options else []
    launch = Launch(tuple(options), request.jobs, request.threads, resume_command, score_options)
    train_grid(project, cells, unscored, launch, reporter)
    refuse_unequal(cells)
    comparison = _measure(project, recipe, teacher, cells, texts, baselines, reporter)
    command = request.command(methods, lengths)
    path = keep(project, _kept(project, recipe, teacher, comparison, texts, command))
    reporter.info(f"kept for 'a2d report': {path}")
    return comparison


def _resolve(project: Project, request: Request, reporter: Reporter) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe of all runs, and the methods by their canonical names."""
    given = [*ONE_END, *request.settings]
    names: list[str] = []
    for method in request.methods:
        recipe = read_project_recipe(project.recipe_path, [*given, f"distillation.method={method}"])
        name = parse_method(recipe.distillation).name
        if name in names:
            reporter.info(f"{method}: {name} stands in the comparison already")
        else:
            names.append(name)
    if len(names) < 2:
        raise ConfigError(f"--methods {','.join(request.methods)}: a comparison takes two methods", "for example --methods ce,word,a2d")
    if request.student:
        recipe = replace(recipe, student=parse_student(request.student, recipe))
    return recipe, tuple(names)


def _baselines(recipe: Recipe, request: Request, methods: Sequence[str]) -> tuple[str, ...]:
    asked = [parse_method(replace(recipe.distillation, method=name)).name for name in request.baselines]
    for name in asked:
        if name not in methods:
            raise ConfigError(f"--baseline {name} is none of the methods compared", f"they are {', '.join(methods)}")
    return tuple(asked) or tuple(name for name in BASELINES if name in methods) or (methods[0],)


def _texts(project: Project, recipe: Recipe, request: Request) -> list[ScoredText]:
    """The recipe's test sets, or those of them that are asked for: none that was chosen after a look at results."""
    known = project.state()["prepared"]["tests"]
    for name in request.test_sets:
        if name not in known:
            raise ConfigError(f"--test-set {name}: no test set of the recipe", f"they are {', '.join(known)}")
    return find_texts(project, recipe, request.test_sets or known)


def _score_options(project: Project, recipe: Recipe, texts: Sequence[ScoredText]) -> tuple[str, ...]:
    """What makes `a2d score` translate as this process would, so that its results are found in scores/; empty: nothing does."""
    asked = _decoding(recipe)
    if asked != replace(_decoding(read_project_recipe(project.recipe_path)), beam=asked.beam):
        return ()
    tests = [part for text in texts for part in ("--test-set", text.name)]
    return (*tests, "--beam", str(asked.beam), "--device", recipe.student_training.device)


def _unscored(
    project: Project,
    recipe: Recipe,
    teacher: Checkpoint,
    cells: Sequence[Cell],
    texts: Sequence[ScoredText],
    reporter: Reporter,
) -> list[ScoredModel]:
    """The teacher and finished runs, where they have not translated all texts."""
    cache = ScoreCache(project.scores_dir)
    folders = [teacher.folder, *(cell.run.folder for cell in cells if cell.run.is_finished)]
    models = [describe_model(folder.absolute()) for folder in folders]
    return [
        model
        for model in models
        if not all(map(_on_texts(model, recipe, cache, reporter).has_translated, texts))
    ]


def _on_texts(model: ScoredModel, recipe: Recipe, cache: ScoreCache, reporter: Reporter) -> ModelOnTexts:
    device = recipe.student_training.device
    return ModelOnTexts(model, _decoding(recipe), device, recipe.tgt_lang, cache, reporter)


def _decoding(recipe: Recipe) -> Decoding:
    return replace(recipe.decoding, nbest=1)


def _kept(
    project: Project, recipe: Recipe, teacher: Checkpoint, comparison: Comparison, texts: Sequence[ScoredText], command: str
) -> KeptComparison:
    blocks = comparison.blocks
    weights = {run.run: run.weights_sha256 for block in blocks for run in block.runs}
    own = blocks[0].teacher
    if teacher.folder.resolve() == Run(project.runs_dir / own.model).best_dir.resolve():  # else it lies elsewhere
        weights[own.model] = own.weights_sha256
    return KeptComparison(
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        a2d=__version__,
        command=command,
        grid=Grid(
            recipe.pair,
            asdict(recipe.student),
            tuple(blocks[0].methods),
            comparison.seeds,
            tuple(comparison.lengths),
            tuple(text.name for text in texts),
        ),
        weights=weights,
        texts={text.name: (text.src_sha256, text.tgt_sha256) for text in texts},
        tables=tuple(comparison.tables()),
        values=comparison.to_json(),
    )


def _measure(
    project: Project,
    recipe: Recipe,
    teacher: Checkpoint,
    cells: Sequence[Cell],
    texts: Sequence[ScoredText],
    baselines: Sequence[str],
    reporter: Reporter,
) -> Comparison:
    cells = sorted(cells, key=lambda cell: cell.updates)  # stable: seed by seed as they were trained
    cache = ScoreCache(project.scores_dir)
    forced = _Forced(project, recipe, teacher, reporter)
    models = {cell.run.name: describe_model(cell.run.folder.absolute()) for cell in cells}
    teacher_model = describe_model(teacher.folder.absolute())
    rows = {
        (name, row.result.test_set): row
        for name, model in (("", teacher_model), *models.items())
        for row in _score(_on_texts(model, recipe, cache, reporter), texts)
    }
    blocks = []
    for text in texts:
        taught = forced.measure(teacher_model, text)
        bleu, chrf = (score.value for score in rows["", text.name].scores)
        measured_teacher = MeasuredTeacher(
            teacher_model.name, bleu, chrf, taught.nll, teacher_model.parameters, teacher_model.weights_sha256
        )
        measured = [
            _measured_run(cell, rows[cell.run.name, text.name], forced.measure(models[cell.run.name], text)) for cell in cells
        ]
        for updates, group in groupby(measured, key=lambda run: run.updates):
            runs = list(group)
            found = contrasts(runs, baselines, _bootstrap(runs, baselines, text, rows, cache, recipe.tgt_lang, reporter))
            blocks.append(Block(text.name, len(text.src), updates, measured_teacher, tuple(runs), found))
    shape = recipe.student
    size = models[cells[0].run.name].parameters / 1e6
    return Comparison(
        recipe.pair,
        f"{shape.encoder_layers}+{shape.decoder_layers} layers, d {shape.d_model}, {size:.1f} M",
        tuple(dict.fromkeys(cell.seed for cell in cells)),
        recipe.decoding.beam,
        tuple(blocks),
        tuple(dict.fromkeys(f"{score.name}|{score.signature}" for row in rows.values() for score in row.scores)),
        (*notes_on(cells), *forced.notes),
    )


def _score(model: ModelOnTexts, texts: Sequence[ScoredText]) -> list[ScoreRow]:
    return [model.score(text, refresh=False) for text in texts]


def _measured_run(cell: Cell, row: ScoreRow, forced: FidelityResult) -> MeasuredRun:
    info = cell.run.info
    bleu, chrf = (score.value for score in row.scores)
    return MeasuredRun(
        method=cell.method,
        updates=cell.updates,
        seed=cell.seed,
        run=cell.run.name,
        bleu=bleu,
        chrf=chrf,
        test_nll=forced.nll,
        kl=forced.kl,
        valid_nll=info["best"]["loss"],
        elapsed_s=info["elapsed_s"],
        peak_memory_bytes=info.get("peak_memory_bytes"),
        parameters=row.model.parameters,
        initial_weights=info["initial_weights"],
        weights_sha256=row.model.weights_sha256,
        hypotheses=row.result.hypotheses,
    )


def _bootstrap(
    runs: Sequence[MeasuredRun],
    baselines: Sequence[str],
    text: ScoredText,
    rows: dict[tuple[str, str], ScoreRow],
    cache: ScoreCache,
    tgt_lang: str,
    reporter: Reporter,
) -> dict[tuple[str, str], tuple[PairedResult, ...]]:
    """sacrebleu's paired test of BLEU, seed by seed, by baseline and method."""
    draws: dict[tuple[str, int], ResampledScore] = {}
    with reporter.progress(f"paired bootstrap on {text.name}", len(runs), "runs") as progress:
        for run in runs:
            lines = cache.hypotheses(rows[run.run, text.name].result)
            draws[run.method, run.seed] = scoring.resample(lines, [text.tgt], tgt_lang=tgt_lang)
            progress.advance()
    methods, seeds = (list(dict.fromkeys(values)) for values in zip(*draws, strict=True))
    return {
        (baseline, method): tuple(scoring.compare(draws[baseline, seed], draws[method, seed]) for seed in seeds)
        for baseline in baselines
        for method in methods
    }


class _Forced:
    """Teacher-forced measures, kept in scores/; teacher and text are read when the first is missing."""

    def __init__(self, project: Project, recipe: Recipe, teacher: Checkpoint, reporter: Reporter):
        self._recipe, self._teacher, self._reporter = recipe, teacher, reporter
        self._cache = open_fidelity_cache(project.scores_dir)
        self._device = choose_device(recipe.student_training.device)
        self._max_length = min(teacher.model.shape.max_positions, recipe.student.max_positions)
        self._tests: dict[str, FidelityTest] = {}
        self._left_out: dict[str, int] = {}

    @property
    def notes(self) -> list[str]:
        return [
            f"{name}: {count} pairs are longer than {self._max_length} tokens: not in NLL and KL"
            for name, count in self._left_out.items()
            if count
        ]

    def measure(self, model: ScoredModel, text: ScoredText) -> FidelityResult:
        engine = f"torch {version('torch')} {self._device}"
        teacher = self._teacher.weights_sha256
        key = fingerprint([model.identity, teacher, text.src_sha256, text.tgt_sha256, self._max_length, engine, __version__])
        result = self._cache.find(key) or self._ask(model, text, key, engine)
        self._left_out[text.name] = result.num_left_out
        return result

    def _ask(self, model: ScoredModel, text: ScoredText, key: str, engine: str) -> FidelityResult:
        tokenizer = self._teacher.tokenizer
        if text.name not in self._tests:
            self._reporter.info(f"teacher-forced on {text.name}: what the teacher says")
            teacher = Teacher(self._teacher.model.to(self._device))
            encoded = EncodedText(text.src, text.tgt, tokenizer)
            self._tests[text.name] = FidelityTest(encoded, SpecialIds.of(tokenizer), teacher, self._max_length, self._device)
        # A teacher of a cut vocabulary is the one that teaches, not the one on disk.
        is_teacher = model.weights_sha256 == self._teacher.weights_sha256
        found = self._tests[text.name](self._teacher.model if is_teacher else load_checkpoint(model.folder).model)
        result = FidelityResult(
            key=key,
            model=model.name,
            test_set=text.name,
            weights_sha256=model.weights_sha256,
            teacher_sha256=self._teacher.weights_sha256,
            src_sha256=text.src_sha256,
            tgt_sha256=text.tgt_sha256,
            nll=found.nll,
            kl=found.kl,
            num_tokens=found.num_tokens,
            num_left_out=found.num_left_out,
            engine=engine,
            a2d=__version__,
        )
        self._cache.add(result)
        return result
