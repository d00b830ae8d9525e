"""`a2d distill`: a student learns from a teacher's words and attention, or from the references alone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from a2d_cli.commands.pseudo import teacher_text
from a2d_cli.commands.teachers import find_teachers, load_teacher, matching_teacher, over_own_pieces
from a2d_cli.commands.training_run import RunRequest, train_run
from a2d_cli.config.schema import Distillation, ModelShape, Recipe
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.distillation.cache_filling import CacheRequest, cached_or_live
from a2d_cli.distillation.copied_layers import check_copying, copy_layers
from a2d_cli.distillation.ensemble import EnsembleTeacher, one_teacher
from a2d_cli.distillation.methods import Method, idle_settings, parse_method, settings_that_count
from a2d_cli.distillation.objective import objective_of
from a2d_cli.distillation.pseudo_choice import TeacherText
from a2d_cli.distillation.pseudo_text import PseudoText
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.errors import ConfigError
from a2d_cli.model.attention import MapForm
from a2d_cli.model.transformer import Transformer
from a2d_cli.project.checkpoint import Checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, place_for
from a2d_cli.reporting import Reporter
from a2d_cli.training.distributed import environment_world
from a2d_cli.training.objective import Objective, RunContext, TranslationObjective


def distill(
    project: Project,
    recipe: Recipe,
    name: str | None,
    command: str,
    reporter: Reporter,
    overwrite: bool = False,
    pseudo: tuple[Path, Path] | None = None,
) -> Run:
    """Train `recipe.student` by `recipe.student_training` and `recipe.distillation`.

    Args:
        name: of the run; None: the method's, with the seed where it is not 1.
        command: as typed, without the leading `a2d`: what resumes the run.
        pseudo: sources and their translations, one a line, to learn from instead of the training text.

    Raises:
        ConfigError: a name that cannot be the student's, no teacher, a teacher of another vocabulary or language
            pair, one whose layers the student cannot hold, or a cache that cannot serve the method.
    """
    project.require_prepared()
    if not environment_world().is_main:
        reporter = Reporter()  # one voice
    method, seed = parse_method(recipe.distillation), recipe.student_training.seed
    method_name = f"{method.name}-pseudo" if pseudo else method.name
    if name is None:
        name = method_name if seed == 1 else f"{method_name}-seed{seed}"
    run = place_for(project, name, "student", overwrite)
    refuse_settings(recipe)
    folders = find_teachers(project, recipe) if method.needs_teacher or method.seq else ()
    if any(folder.resolve().is_relative_to(run.folder.resolve()) for folder in folders):
        raise ConfigError(f"run '{name}' is the teacher itself: no student takes its place", "choose another --name")
    if pseudo and method.seq:
        raise ConfigError(
            f"--pseudo brings translations, {method.name} lets the teacher translate",
            f"learn from one of them: leave out --pseudo, or 'seq' in --method {recipe.distillation.method}",
        )
    own_text = PseudoText(*pseudo) if pseudo else None
    taught_text = _teachers_text(project, recipe, method, run, command, reporter) if method.seq else None
    teachers = _open_teachers(project, recipe, method, folders, reporter) if method.needs_teacher else []
    facts = method_facts(recipe.distillation, teachers, taught_text)
    if own_text:
        facts["pseudo"] = own_text.fingerprint

    def copy_from_teacher(student: Transformer) -> None:
        (teacher,) = teachers
        same_pieces = teacher.tokenizer.fingerprint == Tokenizer.load(project.data_dir).fingerprint
        copy_layers(student, teacher.model, same_pieces)

    request = RunRequest(
        name,
        kind="student",
        method=method_name,
        shape=recipe.student,
        training=recipe.student_training,
        facts=facts,
        resume_command=command,
        length_matters=recipe.distillation.half_life > 0 and bool(method.terms) and not method.is_released,
        pseudo=own_text or taught_text,
        initialize=copy_from_teacher if method.copies_layers else None,
    )

    def make_objective(model: Transformer, context: RunContext) -> Objective:
        settings = recipe.student_training
        if not method.asks_teacher:
            return TranslationObjective(model, settings.label_smoothing)
        _warn_of_large_student(model, teachers, context.reporter)
        frozen = _frozen_teacher(project, recipe, method, teachers, request, context)
        _record_way(run, frozen, context)
        return objective_of(model, frozen, recipe.distillation, settings)

    return train_run(project, recipe, request, make_objective, reporter, overwrite)


def _record_way(run: Run, teacher: Teacher | EnsembleTeacher, context: RunContext) -> None:
    """A cache rounds in another place than half precision does: a run that goes on another way is another run."""
    if not context.world.is_main:
        return
    before = run.info.get("taught", teacher.way)
    if before != teacher.way:
        context.reporter.warn(
            f"the teacher's answers are {teacher.way} from here on, and were {before}: by rounding alone the run will "
            "not be the one that it would have been (--cache-teacher as when it was begun)"
        )
    run.record(taught=teacher.way)


def _teachers_text(
    project: Project, recipe: Recipe, method: Method, run: Run, command: str, reporter: Reporter
) -> TeacherText:
    """What `seq` learns from; one process lets the teacher translate what is missing of it."""
    text, ranks = teacher_text(project, recipe, command, reporter), environment_world().size
    if ranks > 1 and not run.info and not text.corpus.is_full():
        raise ConfigError(
            (
                f"{method.name}: the teacher has not translated the whole training text, "
                f"and {ranks} processes would wait while one does"
            ),
            f"let it translate first, with the same --teacher and --set: {project.command('pseudo')}",
        )
    return text


def method_facts(
    distillation: Distillation, teachers: Sequence[Checkpoint], text: TeacherText | None
) -> dict[str, object]:
    """What run.json says of a method, beside the recipe's sections: of one that asks no teacher, nothing.

    Args:
        text: of the method `seq`.
    """
    facts: dict[str, object] = {"pseudo": text.facts(), "teacher": text.corpus.origin.teacher} if text else {}
    if parse_method(distillation).needs_teacher:
        digits = ",".join(teacher.weights_sha256[:16] for teacher in teachers)
        facts |= {"distillation": settings_that_count(distillation), "teacher": digits}
    return facts


def _warn_of_large_student(student: Transformer, teachers: Sequence[Checkpoint], reporter: Reporter) -> None:
    largest = max(teacher.model.num_parameters for teacher in teachers)
    if student.num_parameters >= largest:
        reporter.warn(
            f"the student has {student.num_parameters / 1e6:.1f} M parameters, its teacher {largest / 1e6:.1f} M: "
            "nothing is made smaller; take a smaller student (--student d_model=64), or a larger teacher"
        )


def warn_of_idle_settings(recipe: Recipe, settings: Sequence[str], reporter: Reporter) -> None:
    """Of what `--set` says of distillation and the method has no use for.

    Args:
        settings: `distillation.beta=2` and others.
    """
    if not environment_world().is_main:
        return
    keys = [setting.partition("=")[0].strip() for setting in settings]
    asked = [key.removeprefix("distillation.") for key in keys if key.startswith("distillation.")]
    name = parse_method(recipe.distillation).name
    for key in idle_settings(recipe.distillation, asked):
        why = "; the weight follows from gradient_share, unless that is 0" if key == "beta" else ""
        reporter.warn(f"--set distillation.{key} changes nothing: {name} does not use it{why}")


def refuse_settings(recipe: Recipe) -> None:
    """What the method cannot do with these settings, before anything is read or trained.

    Raises:
        ConfigError: names the setting.
    """
    method = parse_method(recipe.distillation)
    if not method.can_be_cut:
        _refuse_shares(method, recipe.student_training.accumulate)
    if method.needs_teacher:
        _check_cache(recipe, method)


def refuse_shapes(recipe: Recipe, teacher: ModelShape) -> None:
    """What the method cannot do with these models, before anything is trained.

    Args:
        teacher: the first one's shape.

    Raises:
        ConfigError: names the dimension.
    """
    if parse_method(recipe.distillation).copies_layers:
        check_copying(recipe.student, teacher)


def _refuse_shares(method: Method, accumulate: int) -> None:
    """Of an update, for a method to which it matters how it is shared out."""
    ranks = environment_world().size
    if accumulate > 1 or ranks > 1:
        shares = f"{accumulate} pieces (student_training.accumulate)" if accumulate > 1 else f"{ranks} processes"
        hint = "train it in one process with --set student_training.accumulate=1"
        if method.is_released:
            effect = "would give attention less weight: it is a sum over the sentences of each"
            hint += "; a2d-masked is the same divergence without that"
        else:
            effect = "would be another one: what a sentence teaches depends on those beside it"
        raise ConfigError(f"{method.name}: an update in {shares} {effect}", hint)


def _open_teachers(
    project: Project, recipe: Recipe, method: Method, folders: Sequence[Path], reporter: Reporter
) -> list[Checkpoint]:
    """Read them, over the project's pieces where they are asked for words and attention, and say who they are."""
    if method.asks_teacher:
        teachers = [matching_teacher(project, recipe, folder) for folder in folders]
    else:  # for layers alone, whatever their pieces
        own = Tokenizer.load(project.data_dir)
        given = [load_teacher(folder, recipe) for folder in folders]
        teachers = [over_own_pieces(teacher, own) or teacher for teacher in given]
    refuse_shapes(recipe, teachers[0].model.shape)
    for teacher in teachers:
        does = "taught by" if method.asks_teacher else "begins with layers of"
        reporter.info(f"{does} {teacher.folder} ({teacher.model.num_parameters / 1e6:.1f} M parameters)")
        if Run(teacher.folder.parent).info.get("finished") is False:
            reporter.warn(f"the training of {teacher.folder.parent} has not ended; what it has so far will teach")
    return teachers


def _beyond_a_cache(method: Method) -> str:
    """What the method learns from that no cache holds; empty: nothing."""
    if method.is_released:
        return f"{method.name} learns from padding too, of which a cache knows nothing"
    return (
        f"{method.name} learns from the states of all layers, of which a cache keeps the last"
        if method.needs_hidden
        else ""
    )


def _check_cache(recipe: Recipe, method: Method) -> None:
    mode, beyond = recipe.distillation.cache, _beyond_a_cache(method)
    if mode in ("states", "topk") and beyond:
        raise ConfigError(
            f"distillation.cache: '{mode}' cannot teach: {beyond}",
            "write none; with auto (--cache-teacher), too, the teacher then teaches live",
        )


def _frozen_teacher(
    project: Project,
    recipe: Recipe,
    method: Method,
    teachers: Sequence[Checkpoint],
    request: RunRequest,
    context: RunContext,
) -> Teacher | EnsembleTeacher:
    settings = recipe.distillation
    form = MapForm(settings.map_form, settings.map_temperature)
    beyond = _beyond_a_cache(method)
    if beyond and settings.cache != "none":
        context.reporter.info(f"the teacher teaches live: {beyond}")

    def frozen(teacher: Checkpoint) -> Teacher:
        live = Teacher(teacher.model.to(context.device), form)
        if beyond or settings.cache == "none":
            return live
        cached = CacheRequest(
            settings.cache,
            settings.cache_top_k,
            words=method.words,
            maps=method.needs_maps,
            caches_dir=project.caches_dir,
            teacher=teacher.weights_sha256[:16],
            teacher_place=os.path.relpath(teacher.folder, project.folder),
            text_place=f"the text of {request.name}" if request.pseudo else "data",
            num_teachers=len(teachers),
        )
        return cached_or_live(live, cached, context)

    members = [frozen(teacher) for teacher in teachers]
    if recipe.student_training.compile:
        for member in members:
            member.model.compile(dynamic=True)  # when it is first run, which that of a cached teacher never is
    return one_teacher(members)
