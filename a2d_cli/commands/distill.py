"""`a2d distill`: a student learns from a teacher's words and attention, or from the references alone."""

from __future__ import annotations

import os
from dataclasses import asdict, replace
from pathlib import Path

from a2d_cli.commands.pseudo import find_teacher, load_teacher, teacher_text
from a2d_cli.commands.training_run import RunRequest, train_run
from a2d_cli.config.schema import Recipe
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.distillation.cached_teacher import CacheRequest, cached_or_live
from a2d_cli.distillation.methods import Method, parse_method
from a2d_cli.distillation.objective import DistillationObjective
from a2d_cli.distillation.pseudo_text import PseudoText, TaughtText
from a2d_cli.distillation.released_objective import ReleaseObjective
from a2d_cli.distillation.teachers import Teacher, keep_rows
from a2d_cli.errors import ConfigError
from a2d_cli.model.transformer import Transformer
from a2d_cli.project.checkpoint import Checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, place_for
from a2d_cli.reporting import Reporter
from a2d_cli.training.distributed import environment_world
from a2d_cli.training.objective import Objective, Stage, TranslationObjective


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
        ConfigError: a name that cannot be the student's, no teacher, a teacher of another vocabulary or language pair, or a cache that cannot serve the method.
    """
    project.require_prepared()
    if not environment_world().is_main:
        reporter = Reporter()  # one voice
    method, seed = parse_method(recipe.distillation), recipe.student_training.seed
    method_name = f"{method.name}-pseudo" if pseudo else method.name
    if name is None:
        name = method_name if seed == 1 else f"{method_name}-seed{seed}"
    run = place_for(project, name, "student", overwrite)
    taught = method.needs_teacher or method.seq
    if taught and find_teacher(project, recipe).resolve().is_relative_to(run.folder.resolve()):
        raise ConfigError(f"run '{name}' is the teacher itself: no student takes its place", "choose another --name")
    facts: dict[str, object] = {}
    taught_text: TaughtText | None = None
    if pseudo and method.seq:
        raise ConfigError(
            f"--pseudo brings translations, {method.name} lets the teacher translate",
            f"learn from one of them: leave out --pseudo, or 'seq' in --method {recipe.distillation.method}",
        )
    if pseudo:
        taught_text = PseudoText(*pseudo)
        facts = {"pseudo": taught_text.fingerprint}
    elif method.seq:
        taught_text = teacher_text(project, recipe, command, reporter)
        facts = {"pseudo": taught_text.facts(), "teacher": taught_text.corpus.origin.teacher}
    teacher = None
    if method.needs_teacher:
        _check_cache(recipe, method)
        teacher = matching_teacher(project, recipe)
        facts |= {"distillation": _settings_that_count(recipe, method), "teacher": teacher.weights_sha256[:16]}
        reporter.info(f"taught by {teacher.folder} ({teacher.model.num_parameters / 1e6:.1f} M parameters)")
        if Run(teacher.folder.parent).info.get("finished") is False:
            reporter.warn(f"the training of {teacher.folder.parent} has not ended; what it has so far will teach")
    fades = recipe.distillation.half_life > 0 and bool(method.terms) and not method.is_released
    request = RunRequest(
        name, "student", method_name, recipe.student, recipe.student_training, facts, command, fades, taught_text
    )

    def make_objective(model: Transformer, stage: Stage) -> Objective:
        settings = recipe.student_training
        if teacher is None:
            return TranslationObjective(model, settings.label_smoothing)
        frozen = _frozen_teacher(project, recipe, method, teacher, request, stage)
        if method.is_released:
            return ReleaseObjective(model, frozen, recipe.distillation, settings.label_smoothing, seed)
        return DistillationObjective(
            model, frozen, recipe.distillation, settings.label_smoothing, settings.max_updates, seed
        )

    return train_run(project, recipe, request, make_objective, reporter, overwrite)


def _check_cache(recipe: Recipe, method: Method) -> None:
    mode = recipe.distillation.cache
    if mode in ("states", "topk") and method.is_released:
        raise ConfigError(
            f"distillation.cache: '{mode}' knows nothing of padding, from which {method.name} learns too",
            "write none; with auto (--cache-teacher), too, the teacher then teaches live",
        )


def _frozen_teacher(
    project: Project, recipe: Recipe, method: Method, teacher: Checkpoint, request: RunRequest, stage: Stage
) -> Teacher:
    live = Teacher(teacher.model.to(stage.device))
    settings = recipe.distillation
    if settings.cache == "none":
        return live
    if method.is_released:
        stage.reporter.info(f"the teacher teaches live: {method.name} learns from padding too, of which a cache knows nothing")
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
    )
    return cached_or_live(live, cached, stage)


def _settings_that_count(recipe: Recipe, method: Method) -> dict[str, object]:
    """Distillation settings that change this method's result; where the teacher lies does not."""
    settings = {key: value for key, value in asdict(recipe.distillation).items() if not key.startswith("pseudo")}
    for key in ("method", "profile", "teacher", "cache", "cache_top_k"):
        del settings[key]
    if not method.terms:
        settings = {key: settings[key] for key in ("alpha", "temperature", "divergence")}
    if method.words and recipe.distillation.cache == "topk":  # states say what the live teacher says; these do not
        settings["cache_top_k"] = recipe.distillation.cache_top_k
    return {"method": method.name, **settings}


def matching_teacher(project: Project, recipe: Recipe) -> Checkpoint:
    folder = find_teacher(project, recipe)
    teacher = load_teacher(folder, recipe)
    own = Tokenizer.load(project.data_dir)
    if teacher.tokenizer.fingerprint != own.fingerprint:
        rows = own.rows_in(teacher.tokenizer)
        if rows is None:
            raise ConfigError(
                f"teacher {folder} has another vocabulary (fingerprint {teacher.tokenizer.fingerprint}, "
                f"the project's {own.fingerprint})",
                "words and attention can only be matched on the same pieces: train a teacher in this project, "
                "distil in the project where the teacher was trained, prepare a project with --tokenizer-from "
                f"{recipe.distillation.teacher}, or let it teach by its translations (--method seq, or --pseudo SRC HYP)",
            )
        teacher = replace(teacher, model=keep_rows(teacher.model, *rows), tokenizer=own)
    positions = min(recipe.student.max_positions, recipe.student_training.max_length)
    if teacher.model.shape.max_positions < positions:
        raise ConfigError(
            f"teacher {folder} reads {teacher.model.shape.max_positions} tokens, the student is trained on up to {positions}",
            f"add --set training.max_length={teacher.model.shape.max_positions}",
        )
    return teacher
