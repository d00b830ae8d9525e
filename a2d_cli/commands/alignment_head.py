"""Which cross-attention head of a run aligns words: chosen once on validation text and kept in run.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.data.batching import SpecialIds
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.export.alignment_head import AlignmentHead, Reader, choose_alignment_head
from a2d_cli.files import sha256_file
from a2d_cli.project.checkpoint import Checkpoint, load_checkpoint
from a2d_cli.project.project import Project
from a2d_cli.project.run import WEIGHTS, Run, find_checkpoint, find_teachers_of
from a2d_cli.reporting import Reporter

SENTENCES = 200  # of the validation text


def alignment_head(project: Project, folder: Path, reporter: Reporter) -> tuple[int, int]:
    """(layer, head) from 0 of a run or checkpoint folder.

    Raises:
        ConfigError: it was not chosen before, and there is no validation text to choose by.
    """
    checkpoint = find_checkpoint(folder)
    known = Run(checkpoint.parent).info.get("alignment_head", {})
    if known.get("weights_sha256") != sha256_file(checkpoint / WEIGHTS):
        known = find_alignment_head(project, load_checkpoint(checkpoint), reporter)
    return known["layer"] - 1, known["head"] - 1


def find_alignment_head(project: Project, checkpoint: Checkpoint, reporter: Reporter) -> dict[str, Any]:
    """Choose a head, say so, and note it in the run's run.json if that can be written. Layer and head count from 1."""
    run = Run(checkpoint.folder.parent)
    known = run.info.get("alignment_head", {})
    if known.get("weights_sha256") == checkpoint.weights_sha256:
        return known
    if not project.state().get("prepared"):
        raise ConfigError(
            f"{project.folder}: no validation text to choose an alignment head by", "name the project with -C DIR"
        )
    chosen, taught_by = _choose(project, checkpoint, find_teachers_of(project, run))
    reference = ("its own mean", "its teacher", "its teachers' mean")[min(len(taught_by), 2)]
    reporter.info(
        f"alignment: head {chosen.head + 1} of layer {chosen.layer + 1} serves best: "
        f"{chosen.agreement:.0%} of its links are those of {reference}"
    )
    known = {
        "layer": chosen.layer + 1,
        "head": chosen.head + 1,
        "agreement": round(chosen.agreement, 4),
        "reference": " + ".join(teacher.name for teacher in taught_by) or "itself",
        "weights_sha256": checkpoint.weights_sha256,
    }
    # A run in training has a writer already: what that records would be lost.
    if run.is_finished and checkpoint.folder == run.best_dir:
        try:
            run.record(alignment_head=known)
        except A2DError as error:  # a project that may only be read: chosen anew the next time
            reporter.info(f"the head is not noted for the next time: {error.message}")
    return known


def _choose(project: Project, checkpoint: Checkpoint, teachers: list[Run]) -> tuple[AlignmentHead, list[Run]]:
    """The head, and the teachers it was held against: not those that cut the text otherwise, as one of `seq` may."""
    recipe = prepared_recipe(project)
    texts = [project.read_text("valid", lang)[:SENTENCES] for lang in (recipe.src_lang, recipe.tgt_lang)]

    def reader(of: Checkpoint) -> Reader:
        pairs = list(zip(of.tokenizer.encode_src(texts[0]), of.tokenizer.encode_tgt(texts[1]), strict=True))
        return Reader(of.model, pairs, SpecialIds.of(of.tokenizer))

    def lengths(of: Reader) -> list[tuple[int, int]]:
        return [(len(src), len(tgt)) for src, tgt in of.pairs]

    own = reader(checkpoint)
    readers = [(run, reader(load_checkpoint(run.best_dir))) for run in teachers]
    alike = [(run, each) for run, each in readers if lengths(each) == lengths(own)]
    return choose_alignment_head(own, [each for _, each in alike]), [run for run, _ in alike]
