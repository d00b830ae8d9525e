"""What a comparison is to be: a request, and the plan that it was understood as."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from a2d_cli.commands.compare_grid import Cell, make_cells
from a2d_cli.commands.compare_report import what_seeds_allow
from a2d_cli.commands.distill import refuse_settings, refuse_shapes
from a2d_cli.commands.option_lists import read_numbers
from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.commands.scored_text import ScoredText, find_texts
from a2d_cli.commands.teachers import find_teachers, matching_teacher
from a2d_cli.commands.training_run import warn_of_long_warmup
from a2d_cli.comparison import MAX_SEEDS, can_claim
from a2d_cli.config.keys import section_of
from a2d_cli.config.loader import parse_student
from a2d_cli.config.method_name import BASELINES
from a2d_cli.config.schema import Decoding, Distillation, Recipe
from a2d_cli.distillation.methods import parse_method, settings_that_count
from a2d_cli.errors import ConfigError
from a2d_cli.project.checkpoint import Checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, place_for
from a2d_cli.reporting import Reporter

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


def make_plan(project: Project, request: Request, reporter: Reporter) -> Plan:
    """Read and check what is asked for, and the teachers.

    Raises:
        ConfigError: unknown method, baseline, test set, teacher or key, or what a method cannot do.
    """
    recipe, methods = _resolve(project, request, reporter)
    baselines = _baselines(project, request, tuple(methods))
    # A single translation is scored, however many the recipe asks for.
    decoding = prepared_recipe(project, [*request.decoding_settings, "decoding.nbest=1"]).decoding
    texts = find_texts(project, recipe, request.test_sets or None)
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
        own = replace(recipe, distillation=distillation)
        refuse_settings(own)
        if teachers:
            refuse_shapes(own, teachers[0].model.shape)
    return Plan(
        recipe, methods, baselines, lengths, tuple(cells), tuple(texts), decoding, tuple(teachers), request.label
    )


def _resolve(project: Project, request: Request, reporter: Reporter) -> tuple[Recipe, dict[str, Distillation]]:
    """The recipe of all runs, and what is the methods' own, by their canonical names."""
    asked = request.methods[:-1] if request.methods[-1:] == ("",) else request.methods  # 'ce,word,' ends in a comma
    if not all(method.strip() for method in asked):
        raise ConfigError(
            f"--methods {','.join(request.methods)}: expected methods, with commas between",
            "for example --methods ce,word,a2d",
        )
    methods: dict[str, Distillation] = {}
    for method in asked:
        recipe = _recipe_of(project, request, "--methods", method)
        name = parse_method(recipe.distillation).name
        if name in methods:
            reporter.info(f"{method}: {name} is named twice")
        own = _settings(recipe.distillation)
        if same := [other for other, each in methods.items() if other != name and _settings(each) == own]:
            raise ConfigError(f"--methods: {name} has the very settings of {same[0]}", "leave one of them out")
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


def _settings(distillation: Distillation) -> dict[str, object]:
    """What makes it the method that it is, however it is spelt."""
    return {**settings_that_count(distillation), "method": replace(parse_method(distillation), suffix="").name}


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
