"""`a2d pseudo`: a teacher translates the training text, once for all the students that learn from its words."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from a2d_cli.commands.teachers import find_teacher, load_teacher
from a2d_cli.config.schema import Decoding, Recipe
from a2d_cli.data.aligned_text import AlignedText, TextStamp
from a2d_cli.data.corpus import ParallelCorpus
from a2d_cli.decoding.engine import Engine
from a2d_cli.decoding.translator import Translator
from a2d_cli.distillation.pseudo_choice import TeacherText
from a2d_cli.distillation.pseudo_corpus import PseudoCorpus, PseudoIndex, PseudoOrigin
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import sha256_file, temporary_folder
from a2d_cli.project.checkpoint import Checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import WEIGHTS, Run, find_checkpoint
from a2d_cli.reporting import Reporter
from a2d_cli.training.distributed import choose_device

GPU_BATCH_SENTENCES = 256  # at least: a GPU takes about as long for these as for few; they change no translation
MANY_LOST = 0.1  # of the sentences: more than a working model loses


@dataclass(frozen=True)
class EngineChoice:
    """What is to translate."""

    engine: str = "auto"  # ct2, torch, or auto: ct2 wherever it can, and torch for float32 on a GPU
    threads: int = 0  # of the CPU; 0 = all
    device: str = "auto"


def pseudo(
    project: Project,
    recipe: Recipe,
    *,
    engine: EngineChoice,
    command: str,
    reporter: Reporter,
    overwrite: bool = False,
) -> PseudoCorpus:
    """Translate the training text as `recipe.distillation` says, or what is missing of it.

    Args:
        command: as typed: what goes on after an interruption.
        overwrite: translate anew what was translated.

    Raises:
        ConfigError: no teacher, or one of another direction; the folder holds translations of something else.
        A2DError, Interrupted: as `PseudoCorpus.fill`.
    """
    project.require_prepared()
    settings = recipe.distillation
    corpus = _corpus(project, recipe, needed=settings.pseudo_nbest or settings.pseudo_beam)
    with project.lock(command, shared=True):
        _fill(project, recipe, corpus, engine, command, reporter, anew=overwrite)
    tell_what_is_whole(corpus.index(), corpus.origin.text.num_pairs, reporter)
    return corpus


def tell_what_is_whole(index: PseudoIndex, num_pairs: int, reporter: Reporter) -> None:
    """How many translations are of no use, and a warning where a teacher that has learned would lose fewer."""
    not_whole = " · ".join(f"{state} {count:,}" for state, count in sorted(index.not_whole.items()))
    reporter.info(
        f"{num_pairs:,} sentences with {index.nbest} translations each; of the best not whole: {not_whole or 'none'}"
    )
    if (lost := sum(index.not_whole.values())) > MANY_LOST * num_pairs:
        reporter.warn(
            f"of {lost:,} of {num_pairs:,} sentences the teacher's translation is empty, cut or a loop, and the "
            "reference stands in: this teacher has little to teach in words; a2d score tells how good it is"
        )


def teacher_text(project: Project, recipe: Recipe, command: str, reporter: Reporter) -> TeacherText:
    """What a student of the method `seq` learns from; made where it is first needed."""
    settings = recipe.distillation
    kept = settings.pseudo_nbest or settings.pseudo_beam
    corpus = _corpus(project, recipe, needed=kept if settings.pseudo == "closest" else 1)

    def fill() -> None:
        _fill(project, recipe, corpus, EngineChoice(device=recipe.student_training.device), command, reporter)

    return TeacherText(corpus, settings.pseudo, settings.pseudo_references, fill)


def _corpus(project: Project, recipe: Recipe, needed: int) -> PseudoCorpus:
    settings = recipe.distillation
    languages = recipe.src_lang, recipe.tgt_lang
    index = ParallelCorpus.open(project.data_dir, "train", *languages).index
    kept = settings.pseudo_nbest or settings.pseudo_beam
    origin = PseudoOrigin(
        sha256_file(find_checkpoint(find_teacher(project, recipe)) / WEIGHTS)[:16],
        TextStamp(index.num_pairs, index.text_digest),
        settings.pseudo_quantization,
        replace(recipe.decoding, beam=settings.pseudo_beam, nbest=kept),
    )
    text = AlignedText(*(project.text_path("train", lang) for lang in languages))
    return PseudoCorpus(project.pseudo_dir / origin.folder_name, origin, text, kept, needed)


def _fill(
    project: Project,
    recipe: Recipe,
    corpus: PseudoCorpus,
    engine: EngineChoice,
    command: str,
    reporter: Reporter,
    anew: bool = False,
) -> None:
    def open_translator(nbest: int) -> Translator:
        teacher = load_teacher(find_teacher(project, recipe), recipe)
        place = Path(os.path.relpath(teacher.folder, project.folder))
        reporter.info(f"{place} translates the training text: {corpus.folder}")
        if Run(teacher.folder.parent).info.get("finished") is False:
            reporter.warn(f"the training of {teacher.folder.parent} has not ended; what it has so far will translate")
        opened = _open_engine(teacher, engine, corpus.origin.quantization, reporter)
        decoding = batched_for(choose_device(engine.device), replace(corpus.origin.decoding, nbest=nbest))
        return Translator(opened, teacher.tokenizer, decoding)

    corpus.fill(open_translator, command, reporter, anew)


def batched_for(device: torch.device, decoding: Decoding) -> Decoding:
    """On a GPU, in batches that keep it busy."""
    if device.type != "cuda":
        return decoding
    return replace(decoding, batch_sentences=max(decoding.batch_sentences, GPU_BATCH_SENTENCES))


def _open_engine(teacher: Checkpoint, choice: EngineChoice, quantization: str, reporter: Reporter) -> Engine:
    """By `auto` the fastest that can hold the teacher."""
    engine, device = choice.engine, choose_device(choice.device)
    if engine == "torch" and quantization != "float32":
        raise ConfigError(
            f"quantization {quantization} goes with the ct2 engine", "leave out --engine torch, or --quantization"
        )
    may_fall_back = engine == "auto" and quantization == "float32"
    if engine == "auto":
        engine = "torch" if device.type == "cuda" and quantization == "float32" else "ct2"
    if engine == "ct2":
        try:
            return _ct2_engine(teacher, quantization, choice.threads, str(device))
        except A2DError as error:
            if not may_fall_back:
                raise
            reporter.info(f"torch translates: {error.message}")
    from a2d_cli.data.batching import SpecialIds
    from a2d_cli.decoding.torch_engine import TorchEngine

    if choice.threads:
        torch.set_num_threads(choice.threads)
    return TorchEngine(teacher.model.to(device), SpecialIds.of(teacher.tokenizer))


def _ct2_engine(teacher: Checkpoint, quantization: str, threads: int, device: str) -> Engine:
    from a2d_cli.decoding.ctranslate2_engine import CTranslate2Engine
    from a2d_cli.export.ctranslate2 import write_ctranslate2

    with temporary_folder("a2d-") as place:  # loaded whole, then no longer needed
        folder = place / "teacher"
        write_ctranslate2(teacher.model, teacher.tokenizer, folder, quantization)
        max_tokens = teacher.model.shape.max_positions
        return CTranslate2Engine(folder, teacher.tokenizer, max_tokens, threads=threads, device=device)
