"""`a2d import`: a model that others have trained becomes a finished teacher run."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import torch

from a2d_cli import __version__
from a2d_cli.config.rules import check_pair
from a2d_cli.errors import ConfigError
from a2d_cli.files import lock_folder, remove_leftovers
from a2d_cli.project.checkpoint import save_checkpoint, weights_of
from a2d_cli.project.marian import MarianModel, read_marian
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, place_for
from a2d_cli.reporting import Reporter


def import_model(
    project: Project,
    folder: Path,
    name: str,
    pair: str | None,
    command: str,
    reporter: Reporter,
    overwrite: bool = False,
) -> Run:
    """Read a Marian model in Hugging Face form into runs/NAME; the project need not be prepared.

    Args:
        pair: SRC-TGT; None: as the folder says.
        command: as typed, told to whoever finds the run locked.

    Raises:
        ConfigError: a run of that name exists, it can be no name, or nobody says which languages the model translates.
        A2DError: what keeps the folder from being read.
    """
    if pair:
        check_pair(pair, "--pair")
    run = place_for(project, name, "teacher", overwrite)
    found = read_marian(folder)
    pair = pair or _pair_of(found, folder)
    with project.lock(command, shared=True), lock_folder(run.folder, command):
        if not overwrite and run.info:
            raise ConfigError(f"run '{name}' exists", "choose another --name, or --overwrite to replace it")
        if overwrite:
            run.clear()
        remove_leftovers(run.folder)
        found.tokenizer.save(run.folder)
        save_checkpoint(run.best_dir, found.model, weights_of(found.model), pair, found.tokenizer)
        run.record(  # last: it makes a run of the folder
            name=name,
            kind="teacher",
            method="imported",
            pair=pair,
            created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            a2d=__version__,
            torch=torch.__version__,
            command=command,
            imported_from=str(folder.absolute()),
            parameters=found.model.num_parameters,
            finished=True,
            stop_reason="imported",
            updates=0,
            elapsed_s=0.0,
        )
    if not found.starts_from_zero:
        reporter.warn(
            f"{folder}: its embedding of <pad>, from which the decoder starts, is not zero: "
            "the model teaches and translates as it is, but cannot be exported"
        )
    return run


def _pair_of(found: MarianModel, folder: Path) -> str:
    path = folder / "tokenizer_config.json"
    if not found.pair:
        raise ConfigError(
            f"{path} does not say which languages the model translates", "say it, for example --pair de-en"
        )
    try:
        check_pair(found.pair, str(path))
    except ConfigError as error:
        raise ConfigError(
            error.message, "say which languages it shall translate here, for example --pair de-en"
        ) from None
    return found.pair
