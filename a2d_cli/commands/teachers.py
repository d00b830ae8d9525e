"""Teachers by name: found, read, and held against the project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from a2d_cli.config.schema import Recipe
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.distillation.teachers import keep_rows
from a2d_cli.errors import ConfigError
from a2d_cli.project.checkpoint import Checkpoint, load_checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import find_model


def find_teachers(project: Project, recipe: Recipe) -> tuple[Path, ...]:
    """The run or checkpoint folders of the recipe's teacher, or of the members of its ensemble.

    Raises:
        ConfigError: there is no such.
    """
    try:
        return tuple(find_model(project, name) for name in recipe.distillation.teachers)
    except ConfigError as error:
        raise ConfigError(
            f"teacher: {error.message}", f"run 'a2d train-teacher' first, or --teacher RUN|FOLDER; {error.hint}"
        ) from None


def find_teacher(project: Project, recipe: Recipe) -> Path:
    """The one teacher.

    Raises:
        ConfigError: there is none, or an ensemble.
    """
    if len(recipe.distillation.teachers) > 1:
        raise ConfigError(
            f"distillation.teacher: '{recipe.distillation.teacher}' are several teachers, and one is needed here",
            "an ensemble can only teach (a2d distill, a2d compare): it does not translate; name one of them",
        )
    return find_teachers(project, recipe)[0]


def load_teacher(folder: Path, recipe: Recipe) -> Checkpoint:
    """Read what `find_teachers` has found.

    Raises:
        ConfigError: it translates another pair of languages than the project.
    """
    teacher = load_checkpoint(folder)
    if teacher.pair != recipe.pair:
        raise ConfigError(
            f"teacher {folder} translates {teacher.pair}, this project {recipe.pair}",
            "choose a teacher of the same direction with --teacher",
        )
    return teacher


def matching_teacher(project: Project, recipe: Recipe, folder: Path) -> Checkpoint:
    """The teacher in a folder, over the project's pieces.

    Raises:
        ConfigError: it is of another language pair or vocabulary, or reads too little.
    """
    given, own = load_teacher(folder, recipe), Tokenizer.load(project.data_dir)
    teacher = over_own_pieces(given, own)
    if teacher is None:
        raise ConfigError(
            f"teacher {folder} has another vocabulary (fingerprint {given.tokenizer.fingerprint}, "
            f"the project's {own.fingerprint})",
            "words and attention can only be matched on the same pieces: train a teacher in this project, "
            "distil in the project where the teacher was trained, prepare a project with --tokenizer-from "
            f"{folder}, or let it teach by its translations (--method seq, or --pseudo SRC HYP)",
        )
    positions = min(recipe.student.max_positions, recipe.student_training.max_length)
    if teacher.model.shape.max_positions < positions:
        raise ConfigError(
            (
                f"teacher {folder} reads {teacher.model.shape.max_positions} tokens, "
                f"the student is trained on up to {positions}"
            ),
            f"add --set training.max_length={teacher.model.shape.max_positions}",
        )
    return teacher


def over_own_pieces(teacher: Checkpoint, own: Tokenizer) -> Checkpoint | None:
    """The teacher cut to the pieces of the project; None: it does not have them all."""
    if teacher.tokenizer.fingerprint == own.fingerprint:
        return teacher
    rows = own.rows_in(teacher.tokenizer)
    return None if rows is None else replace(teacher, model=keep_rows(teacher.model, *rows), tokenizer=own)
