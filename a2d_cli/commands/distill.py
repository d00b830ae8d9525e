"""`a2d distill`: a student learns from a teacher's words and attention, or from the references alone."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import torch

from a2d_cli.commands.training_run import RunRequest, train_run
from a2d_cli.config.schema import Recipe
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.distillation.objective import DistillationObjective, Method, ReleaseObjective, parse_method
from a2d_cli.distillation.pseudo_text import PseudoText
from a2d_cli.distillation.teachers import Teacher, keep_rows
from a2d_cli.errors import ConfigError
from a2d_cli.model.transformer import Transformer
from a2d_cli.project.checkpoint import Checkpoint, load_checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, find_model
from a2d_cli.reporting import Reporter
from a2d_cli.training.distributed import environment_world
from a2d_cli.training.objective import Objective, TranslationObjective


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
        ConfigError: no teacher, or a teacher of another vocabulary or language pair.
    """
    project.require_prepared()
    if not environment_world().is_main:
        reporter = Reporter()  # one voice
    method, seed = parse_method(recipe.distillation), recipe.student_training.seed
    method_name = f"{method.name}-pseudo" if pseudo else method.name
    name = name or (method_name if seed == 1 else f"{method_name}-seed{seed}")
    pseudo_text = PseudoText(*pseudo) if pseudo else None
    facts: dict[str, object] = {"pseudo": pseudo_text.fingerprint} if pseudo_text else {}
    teacher = None
    if method.needs_teacher:
        teacher = _load_teacher(project, recipe)
        facts |= {"distillation": _settings_that_count(recipe, method), "teacher": teacher.weights_sha256[:16]}
        reporter.info(f"teacher: {teacher.folder} ({teacher.model.num_parameters / 1e6:.1f} M parameters)")
        if Run(teacher.folder.parent).info.get("finished") is False:
            reporter.warn(f"the training of {teacher.folder.parent} has not ended; what it has so far will teach")
    fades = recipe.distillation.half_life > 0 and bool({"masked", "simplex"} & set(method.profiles))
    request = RunRequest(
        name, "student", method_name, recipe.student, recipe.student_training, facts, command, fades, pseudo_text
    )

    def make_objective(model: Transformer, device: torch.device) -> Objective:
        settings = recipe.student_training
        if teacher is None:
            return TranslationObjective(model, settings.label_smoothing)
        frozen = Teacher(teacher.model.to(device))
        if method.profiles in (("release",), ("paper",)):
            return ReleaseObjective(model, frozen, recipe.distillation, settings.label_smoothing, seed)
        return DistillationObjective(
            model, frozen, recipe.distillation, settings.label_smoothing, settings.max_updates, seed
        )

    return train_run(project, recipe, request, make_objective, reporter, overwrite)


def _settings_that_count(recipe: Recipe, method: Method) -> dict[str, object]:
    """Distillation settings that change this method's result; where the teacher lies does not."""
    settings = asdict(recipe.distillation)
    for key in ("method", "profile", "teacher"):
        del settings[key]
    if not method.profiles:
        settings = {key: settings[key] for key in ("alpha", "temperature", "divergence")}
    return {"method": method.name, **settings}


def _load_teacher(project: Project, recipe: Recipe) -> Checkpoint:
    try:
        folder: Path = find_model(project, recipe.distillation.teacher)
    except ConfigError as error:
        raise ConfigError(
            f"teacher: {error.message}", f"run 'a2d train-teacher' first, or --teacher RUN|FOLDER; {error.hint}"
        ) from None
    teacher = load_checkpoint(folder)
    if teacher.pair != recipe.pair:
        raise ConfigError(
            f"teacher {folder} translates {teacher.pair}, this project {recipe.pair}",
            "choose a teacher of the same direction with --teacher",
        )
    own = Tokenizer.load(project.data_dir)
    if teacher.tokenizer.fingerprint != own.fingerprint:
        rows = own.rows_in(teacher.tokenizer)
        if rows is None:
            raise ConfigError(
                f"teacher {folder} has another vocabulary (fingerprint {teacher.tokenizer.fingerprint}, "
                f"the project's {own.fingerprint})",
                "words and attention can only be matched on the same pieces: train a teacher in this project, "
                "distil in the project where the teacher was trained, prepare a project with --tokenizer-from "
                f"{recipe.distillation.teacher}, or let it teach by its translations (--pseudo SRC HYP)",
            )
        teacher = replace(teacher, model=keep_rows(teacher.model, *rows), tokenizer=own)
    positions = min(recipe.student.max_positions, recipe.student_training.max_length)
    if teacher.model.shape.max_positions < positions:
        raise ConfigError(
            f"teacher {folder} reads {teacher.model.shape.max_positions} tokens, the student is trained on up to {positions}",
            f"add --set training.max_length={teacher.model.shape.max_positions}",
        )
    return teacher
