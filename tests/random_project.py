"""A project whose models are real, tiny and untrained: for commands that only have to run them."""

from __future__ import annotations

from pathlib import Path

from conftest import ENDED, prepared_as
from scored_texts import write_lines
from small_tokenizers import PAIRS, small_tokenizer
from tiny import SHAPE, tiny_model

from a2d_cli.config.schema import Decoding, Recipe
from a2d_cli.config.writer import dump_recipe
from a2d_cli.files import sha256_file
from a2d_cli.model.transformer import Vocabularies
from a2d_cli.project.checkpoint import save_checkpoint, weights_of
from a2d_cli.project.project import Project
from a2d_cli.project.run import WEIGHTS, Run

DECODING = Decoding(beam=3, max_length_extra=3)
TEXTS = {"valid": PAIRS[:29], "news": PAIRS[29:42], "talks": PAIRS[42:49]}


def random_project(folder: Path, decoding: Decoding = DECODING) -> Project:
    """Runs `teacher` and `student`, text `valid` and the test sets `news` and `talks`."""
    project = Project(folder)
    project.record(prepared=prepared_as("news", "talks"))
    project.recipe_path.write_text(dump_recipe(Recipe(name="mine", pair="de-en", decoding=decoding)))
    for name, pairs in TEXTS.items():
        for lang, lines in zip(("de", "en"), zip(*pairs, strict=True), strict=True):
            write_lines(project.text_path(name, lang), lines)
    teacher = add_random_run(project, "teacher", "teacher", seed=5)
    digits = sha256_file(teacher.best_dir / WEIGHTS)[:16]
    add_random_run(project, "student", "student", seed=3, settings={"teacher": digits})
    return project


def add_random_run(project: Project, name: str, kind: str, seed: int, **info: object) -> Run:
    run = Run(project.runs_dir / name)
    run.folder.mkdir(parents=True)
    tokenizer = small_tokenizer("joint")
    model = tiny_model(SHAPE, Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size), seed)
    save_checkpoint(run.best_dir, model, weights_of(model), "de-en", tokenizer)
    tokenizer.save(run.folder)
    run.record(kind=kind, method="ce", seed=seed, finished=True, **ENDED, created=str(seed), pair="de-en", **info)
    return run
