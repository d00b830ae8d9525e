"""`a2d compare`: methods side by side, equal in seeds, weights, batches and decoding, and what may be said of them."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from itertools import groupby

from a2d_cli import __version__, scoring
from a2d_cli.commands.compare_fairness import (
    notes_on,
    refuse_early_ends,
    refuse_other_settings,
    refuse_unequal,
    refuse_unequal_validations,
    what_was_trained,
)
from a2d_cli.commands.compare_grid import Cell, Launch, make_cells, train_grid
from a2d_cli.commands.compare_record import Grid, KeptComparison, keep
from a2d_cli.commands.compare_report import (
    Bootstrap,
    ComparedRuns,
    Comparison,
    MeasuredRun,
    MeasuredTeacher,
    contrasts,
    what_seeds_allow,
)
from a2d_cli.commands.distill import method_facts, refuse_impossible
from a2d_cli.commands.option_lists import read_numbers
from a2d_cli.commands.preparation import prepared_recipe, warn_of_changes
from a2d_cli.commands.pseudo import teacher_text
from a2d_cli.commands.score import VALID, ModelOnTexts, ScoredText, ScoreRow, find_texts
from a2d_cli.commands.teachers import find_teachers, matching_teacher
from a2d_cli.commands.training_run import warn_of_long_warmup
from a2d_cli.comparison import MAX_SEEDS, can_claim
from a2d_cli.config.keys import section_of, unlike
from a2d_cli.config.loader import parse_student
from a2d_cli.config.method_name import BASELINES
from a2d_cli.config.schema import Decoding, Distillation, Recipe
from a2d_cli.data.batching import SpecialIds
from a2d_cli.data.corpus import EncodedText
from a2d_cli.distillation.ensemble import one_teacher
from a2d_cli.distillation.fidelity import FidelityTest
from a2d_cli.distillation.methods import parse_method
from a2d_cli.distillation.pseudo_choice import TeacherText
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import fingerprint
from a2d_cli.project.checkpoint import Checkpoint, load_checkpoint
from a2d_cli.project.fidelity_cache import FidelityResult, open_fidelity_cache
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, place_for
from a2d_cli.project.score_cache import ScoreCache, ScoredModel, describe_model
from a2d_cli.reporting import Reporter
from a2d_cli.scoring import ResampledScore
from a2d_cli.training.distributed import choose_device

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
    teacher: str | None = None  # as distillation.teacher; the recipe's
    student: str | None = None
    settings: tuple[str, ...] = ()  # KEY=VALUE
    label: str = ""  # begins the names of the runs
    jobs: int = 1
    threads: int = 1

    @property
    def decoding_settings(self) -> list[str]:
        """Of the translations that are scored: the runs are trained without them."""
        return [setting for setting in self.settings if section_of(setting) == "decoding"]

    @property
    def run_settings(self) -> list[str]:
        return [*ONE_END, *(setting for setting in self.settings if section_of(setting) != "decoding")]

    def command(self, methods: Sequence[str], lengths: Sequence[int]) -> str:
        """What asks for the same, without the leading `a2d`; methods and lengths as they were understood."""
        is_count = self.seeds == tuple(range(1, len(self.seeds) + 1))
        seeds = str(len(self.seeds)) if is_count else ",".join(map(str, self.seeds)) + "," * (len(self.seeds) == 1)
        words = ["compare", "--methods", ",".join(methods), "--seeds", seeds, "--updates", ",".join(map(str, lengths))]
        words += ["--teacher", self.teacher] if self.teacher else []
        words += ["--student", self.student] if self.student else []
        words += ["--label", self.label] if self.label else []
        words += ["--jobs", str(self.jobs), "--threads", str(self.threads)] if self.jobs > 1 else []
        repeatable = {"--baseline": self.baselines, "--test-set": self.test_sets, "--set": self.settings}
        return shlex.join(
            [*words, *(part for option, values in repeatable.items() for value in values for part in (option, value))]
        )


@dataclass(frozen=True)
class Plan:
    """A request as it was understood."""

    recipe: Recipe  # of all runs, but for the methods
    methods: Mapping[str, Distillation]  # by canonical name
    baselines: tuple[str, ...]  # some of them
    lengths: tuple[int, ...]  # updates
    cells: tuple[Cell, ...]
    texts: tuple[ScoredText, ...]
    decoding: Decoding  # of the translations that are scored
    teachers: tuple[Checkpoint, ...]  # over the project's pieces; several: an ensemble
    label: str = ""


def read_seeds(text: str) -> tuple[int, ...]:
    """`5` are the seeds 1 to 5; `1,4,7` are these three, `4,` is that one.

    Raises:
        ConfigError: no numbers from 1, one twice, or more than the permutation test takes.
    """
    listed = text.removesuffix(",")
    numbers = read_numbers("--seeds", listed, example="7 (that is 1 to 7) or 1,5")
    counted = "," not in text
    if len(numbers) <= listed.count(","):
        raise ConfigError(
            f"--seeds {text}: a seed stands twice, which would be the same run",
            f"name each once; a single one as {numbers[0]},",
        )
    if not 1 <= (numbers[0] if counted else len(numbers)) <= MAX_SEEDS:
        raise ConfigError(
            f"--seeds {text}: from 1 to {MAX_SEEDS} seeds can be compared", "for example --seeds 5, or --seeds 3,4,5"
        )
    return tuple(range(1, numbers[0] + 1)) if counted else numbers


def compare(project: Project, request: Request, resume_command: str, reporter: Reporter) -> Comparison:
    """Train what is missing of the grid, measure every run on the test sets, and test the differences.

    Raises:
        ConfigError: unknown method, baseline, test set, teacher or key; runs with other settings than asked (names
            them).
        A2DError: runs failed, or are not comparable (names them).
        Interrupted: what is done so far is kept.
    """
    project.require_prepared()
    plan = _plan(project, request, reporter)
    warn_of_changes(project, plan.recipe, reporter)  # runs say it in their logs alone
    refuse_early_ends(plan.recipe)
    texts = _teacher_texts(project, plan, resume_command, reporter)
    facts = {name: method_facts(own, plan.teachers, texts.get(name)) for name, own in plan.methods.items()}
    refuse_other_settings(project, plan.recipe, facts, plan.cells)
    refuse_unequal_validations(plan.recipe, plan.cells)
    if not all(cell.run.is_finished for cell in plan.cells):
        begin = {cell.method for cell in plan.cells if not cell.run.info}
        with project.lock(resume_command, shared=True):  # says once what would stop each run
            project.record(comparing=resume_command)  # for `a2d status`, should it be interrupted between two runs
            for text in (text for method, text in texts.items() if method in begin):
                text.fill()  # with all cores and a bar of its own
    named = {"--teacher": request.teacher, "--student": request.student}
    options = [part for option, value in named.items() if value for part in (option, value)]
    options += [part for setting in request.run_settings for part in ("--set", setting)]
    score_options = _score_options(plan) if request.jobs > 1 else ()
    unscored = _unscored(project, plan, reporter) if score_options else []
    launch = Launch(tuple(options), request.jobs, request.threads, resume_command, score_options)
    train_grid(project, plan.cells, unscored, launch, reporter)
    refuse_unequal(plan.cells)
    comparison = _measure(project, plan, reporter)
    if project.state().get("comparing") == resume_command:  # and no other has begun meanwhile
        project.record(comparing=None)
    try:
        path = keep(project, _kept(project, plan, comparison, request.command(tuple(plan.methods), plan.lengths)))
        reporter.info(f"kept for 'a2d report': {path}")
    except A2DError as error:  # what was found is shown all the same
        reporter.warn(f"not kept for 'a2d report': {error}")
    return comparison


def _plan(project: Project, request: Request, reporter: Reporter) -> Plan:
    """Read and check what is asked for, and the teachers."""
    recipe, methods = _resolve(project, request, reporter)
    baselines = _baselines(project, request, tuple(methods))
    # A single translation is scored, however many the recipe asks for.
    decoding = prepared_recipe(project, [*request.decoding_settings, "decoding.nbest=1"]).decoding
    texts = _texts(project, recipe, request)
    lengths = request.lengths or (recipe.student_training.max_updates,)
    if "/" in request.label:  # the folder of another run's name
        raise ConfigError(f"--label '{request.label}': no beginning of a name", "name it without '/'")
    cells = make_cells(project, tuple(methods), lengths, request.seeds, request.label)
    for cell in cells:  # before runs fail by it
        place_for(project, cell.run.name, "student")
    if len(lengths) > 1 and recipe.student_training.schedule == "inverse_sqrt":
        reporter.warn(
            "student_training.schedule is inverse_sqrt, without a cool-down: a short run is then no finished run, and "
            "the lengths are hard to compare; --set student_training.schedule=inverse_sqrt_cooldown"
        )
    missing = [cell.updates for cell in cells if not cell.run.is_finished]
    warn_of_long_warmup("student_training", recipe.student_training, missing, reporter)
    num_rivals = len(methods) - 1  # of the first baseline
    if missing and num_rivals and not can_claim(len(request.seeds), num_rivals):
        reporter.warn(f"{what_seeds_allow(len(request.seeds), num_rivals)} (--seeds)")
    teachers = [matching_teacher(project, recipe, folder) for folder in find_teachers(project, recipe)]
    for teacher in teachers:
        if Run(teacher.folder.parent).info.get("finished") is False:
            raise ConfigError(
                f"the training of {teacher.folder.parent} has not ended: runs would learn from different teachers",
                "let it end first",
            )
    for distillation in methods.values():
        refuse_impossible(replace(recipe, distillation=distillation), teachers[0].model.shape if teachers else None)
    return Plan(
        recipe, methods, baselines, lengths, tuple(cells), tuple(texts), decoding, tuple(teachers), request.label
    )


def _resolve(project: Project, request: Request, reporter: Reporter) -> tuple[Recipe, dict[str, Distillation]]:
    """The recipe of all runs, and what is the methods' own, by their canonical names."""
    if not all(method.strip() for method in request.methods):
        raise ConfigError(
            f"--methods {','.join(request.methods)}: expected methods, with commas between",
            "for example --methods ce,word,a2d",
        )
    methods: dict[str, Distillation] = {}
    for method in request.methods:
        recipe = _recipe_of(project, request, "--methods", method)
        name = parse_method(recipe.distillation).name
        if name in methods:
            reporter.info(f"{method}: {name} stands in the comparison already")
        methods[name] = recipe.distillation
    if len(methods) < 2:
        raise ConfigError(
            f"--methods {','.join(request.methods)}: a comparison takes two methods",
            "for example --methods ce,word,a2d",
        )
    if request.student:
        recipe = replace(recipe, student=parse_student(request.student, recipe))
    return recipe, methods


def _recipe_of(project: Project, request: Request, option: str, method: str) -> Recipe:
    """Of the runs of one method, which an option has named."""
    teacher = [f"--teacher distillation.teacher={request.teacher}"] if request.teacher else []
    return prepared_recipe(project, [*request.run_settings, *teacher, f"{option} distillation.method={method}"])


def _baselines(project: Project, request: Request, methods: Sequence[str]) -> tuple[str, ...]:
    asked = tuple(dict.fromkeys(_baseline(project, request, name, methods) for name in request.baselines))
    return asked or tuple(name for name in BASELINES if name in methods) or (methods[0],)


def _baseline(project: Project, request: Request, asked: str, methods: Sequence[str]) -> str:
    """The canonical name of one of the methods, however it is spelled."""
    near = difflib.get_close_matches(asked, methods, n=1)
    hint = f"did you mean '{near[0]}'?" if near else "name one of them"
    try:
        name = parse_method(_recipe_of(project, request, "--baseline", asked).distillation).name
    except ConfigError:  # no method at all, so none of these
        name = ""
    if name in methods:
        return name
    if name:
        hint = f"name one of them, or add it: --methods {','.join([*methods, name])}"
    raise ConfigError(f"--baseline {asked}: none of the methods that are compared ({', '.join(methods)})", hint)


def _teacher_texts(project: Project, plan: Plan, resume_command: str, reporter: Reporter) -> dict[str, TeacherText]:
    """By method, of those that learn from their teacher's translations."""
    return {
        name: teacher_text(project, replace(plan.recipe, distillation=distillation), resume_command, reporter)
        for name, distillation in plan.methods.items()
        if parse_method(distillation).seq
    }


def _texts(project: Project, recipe: Recipe, request: Request) -> list[ScoredText]:
    """The recipe's test sets, or those of them that are asked for: none that was chosen after a look at results."""
    known = project.state()["prepared"]["tests"]
    for name in request.test_sets:
        if name not in (*known, VALID):
            raise ConfigError(
                f"--test-set {name}: no test set of the recipe", f"they are {', '.join(known)}; or {VALID}, to tune by"
            )
    return find_texts(project, recipe, request.test_sets or known)


def _score_options(plan: Plan) -> tuple[str, ...]:
    """What makes `a2d score` translate as this process would, so that its results are found in scores/."""
    decoding = unlike(plan.decoding, replace(plan.recipe.decoding, nbest=1))
    options = [("--test-set", text.name) for text in plan.texts]
    options += [("--set", f"decoding.{key}={value}") for key, value in decoding.items()]
    return (
        *(part for option in options for part in option),
        "--device",
        plan.recipe.student_training.device,
        "--no-speed",
    )


def _unscored(project: Project, plan: Plan, reporter: Reporter) -> list[ScoredModel]:
    """Teachers and finished runs, where they have not translated all texts."""
    cache = ScoreCache(project.scores_dir)
    folders = [
        *(teacher.folder for teacher in plan.teachers),
        *(cell.run.folder for cell in plan.cells if cell.run.is_finished),
    ]
    models = [describe_model(folder.absolute()) for folder in folders]
    return [
        model for model in models if not all(map(_on_texts(model, plan, cache, reporter).has_translated, plan.texts))
    ]


def _on_texts(model: ScoredModel, plan: Plan, cache: ScoreCache, reporter: Reporter) -> ModelOnTexts:
    return ModelOnTexts(
        model, plan.decoding, plan.recipe.student_training.device, plan.recipe.tgt_lang, cache, reporter
    )


def _kept(project: Project, plan: Plan, comparison: Comparison, command: str) -> KeptComparison:
    weights = {run.run: run.weights_sha256 for block in comparison.blocks for run in block.runs}
    for teacher, own in zip(plan.teachers, comparison.blocks[0].teachers, strict=True):
        if teacher.folder.resolve() == Run(project.runs_dir / own.model).best_dir.resolve():  # else it lies elsewhere
            weights[own.model] = own.weights_sha256
    return KeptComparison(
        made_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        a2d=__version__,
        command=command,
        grid=Grid(
            plan.recipe.pair,
            asdict(plan.recipe.student),
            tuple(plan.methods),
            comparison.seeds,
            tuple(comparison.lengths),
            tuple(text.name for text in plan.texts),
            plan.baselines,
            tuple(teacher.weights_sha256[:16] for teacher in plan.teachers),
            asdict(plan.decoding),
            plan.label,
        ),
        weights=weights,
        texts={text.name: (text.src_sha256, text.tgt_sha256) for text in plan.texts},
        tables=tuple(comparison.tables()),
    )


def _measure(project: Project, plan: Plan, reporter: Reporter) -> Comparison:
    recipe, baselines = plan.recipe, plan.baselines
    cells = sorted(plan.cells, key=lambda cell: cell.updates)  # stable: seed by seed as they were trained
    cache = ScoreCache(project.scores_dir)
    forced = _Forced(project, plan, reporter)
    models = {cell.run.name: describe_model(cell.run.folder.absolute()) for cell in cells}
    teachers = [describe_model(teacher.folder.absolute()) for teacher in plan.teachers]
    taught = [_score(model, plan, cache, reporter) for model in teachers]
    rows = {name: _score(model, plan, cache, reporter) for name, model in models.items()}
    blocks = []
    for text in plan.texts:
        measured_teachers = tuple(
            _measured_teacher(each[text.name], forced.measure(model, text))
            for model, each in zip(teachers, taught, strict=True)
        )
        measured = [
            _measured_run(cell, rows[cell.run.name][text.name], forced.measure(models[cell.run.name], text))
            for cell in cells
        ]
        for updates, group in groupby(measured, key=lambda run: run.updates):
            runs = list(group)
            found = contrasts(
                runs, baselines, _bootstrap(runs, baselines, text, rows, cache, recipe.tgt_lang, reporter)
            )
            blocks.append(ComparedRuns(text.name, len(text.src), updates, measured_teachers, tuple(runs), found))
    shape = recipe.student
    size = models[cells[0].run.name].parameters / 1e6
    scores = [score for by_text in (*taught, *rows.values()) for row in by_text.values() for score in row.scores]
    return Comparison(
        recipe.pair,
        f"{shape.encoder_layers}+{shape.decoder_layers} layers, d {shape.d_model}, {size:.1f} M",
        tuple(dict.fromkeys(cell.seed for cell in cells)),
        plan.decoding.beam,
        tuple(blocks),
        tuple(dict.fromkeys(f"{score.name}|{score.signature}" for score in scores)),
        (*what_was_trained(cells, recipe.student_training), *notes_on(cells, _teachers_start(plan)), *forced.notes),
    )


def _teachers_start(plan: Plan) -> set[str]:
    """Hashes of the weights that the teachers began with, as far as they are runs of a2d."""
    infos = (Run(teacher.folder.parent).info for teacher in plan.teachers)
    return {info["initial_weights"] for info in infos if "initial_weights" in info}


def _score(model: ScoredModel, plan: Plan, cache: ScoreCache, reporter: Reporter) -> dict[str, ScoreRow]:
    """By test set."""
    on_texts = _on_texts(model, plan, cache, reporter)
    return {text.name: on_texts.score(text, refresh=False) for text in plan.texts}


def _measured_teacher(row: ScoreRow, forced: FidelityResult) -> MeasuredTeacher:
    bleu, chrf = (score.value for score in row.scores)
    return MeasuredTeacher(row.model.name, bleu, chrf, forced.nll, row.model.parameters, row.model.weights_sha256)


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
        peak_memory_bytes=info.get("peak_gpu_memory_bytes", info.get("peak_memory_bytes")),
        parameters=row.model.parameters,
        initial_weights=info["initial_weights"],
        weights_sha256=row.model.weights_sha256,
        hypotheses=row.result.hypotheses,
    )


def _bootstrap(
    runs: Sequence[MeasuredRun],
    baselines: Sequence[str],
    text: ScoredText,
    rows: Mapping[str, Mapping[str, ScoreRow]],
    cache: ScoreCache,
    tgt_lang: str,
    reporter: Reporter,
) -> dict[tuple[str, str], Bootstrap]:
    """sacrebleu's paired test of BLEU, seed by seed and of the mean over seeds, by baseline and method."""
    draws: dict[tuple[str, int], ResampledScore] = {}
    with reporter.progress(f"paired bootstrap on {text.name}", len(runs), "runs") as progress:
        for run in runs:
            lines = cache.hypotheses(rows[run.run][text.name].result)
            draws[run.method, run.seed] = scoring.resample(lines, [text.tgt], tgt_lang=tgt_lang)
            progress.advance()
    methods, seeds = (list(dict.fromkeys(values)) for values in zip(*draws, strict=True))
    means = {method: scoring.mean_of([draws[method, seed] for seed in seeds]) for method in methods}
    return {
        (baseline, method): Bootstrap(
            tuple(scoring.compare(draws[baseline, seed], draws[method, seed]) for seed in seeds),
            scoring.compare(means[baseline], means[method]),
        )
        for baseline in baselines
        for method in methods
    }


class _Forced:
    """Teacher-forced measures, kept in scores/; teachers and text are read when the first is missing."""

    def __init__(self, project: Project, plan: Plan, reporter: Reporter):
        self._teachers, self._reporter = plan.teachers, reporter
        self._cache = open_fidelity_cache(project.scores_dir)
        self._device = choose_device(plan.recipe.student_training.device)
        shapes = [plan.recipe.student, *(teacher.model.shape for teacher in plan.teachers)]
        self._max_length = min(shape.max_positions for shape in shapes)
        self._teacher_sha256 = ",".join(teacher.weights_sha256 for teacher in plan.teachers)
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
        texts = text.src_sha256, text.tgt_sha256
        pieces = self._teachers[0].tokenizer.fingerprint  # of a cut vocabulary: other words to choose from
        key = fingerprint([model.identity, self._teacher_sha256, pieces, *texts, self._max_length, engine, __version__])
        result = self._cache.find(key) or self._ask(model, text, key, engine)
        self._left_out[text.name] = result.num_left_out
        return result

    def _ask(self, model: ScoredModel, text: ScoredText, key: str, engine: str) -> FidelityResult:
        if text.name not in self._tests:
            self._reporter.info(f"teacher-forced on {text.name}: what the teacher says")
            tokenizer = self._teachers[0].tokenizer
            teacher = one_teacher([Teacher(teacher.model.to(self._device)) for teacher in self._teachers])
            encoded = EncodedText(text.src, text.tgt, tokenizer)
            self._tests[text.name] = FidelityTest(
                encoded, SpecialIds.of(tokenizer), teacher, self._max_length, self._device
            )
        # A teacher of a cut vocabulary is the one that teaches, not the one on disk.
        own = {teacher.weights_sha256: teacher for teacher in self._teachers}
        found = self._tests[text.name]((own.get(model.weights_sha256) or load_checkpoint(model.folder)).model)
        result = FidelityResult(
            key=key,
            model=model.name,
            test_set=text.name,
            weights_sha256=model.weights_sha256,
            teacher_sha256=self._teacher_sha256,
            src_sha256=text.src_sha256,
            tgt_sha256=text.tgt_sha256,
            **asdict(found),
            engine=engine,
            a2d=__version__,
        )
        self._cache.add(result)
        return result
