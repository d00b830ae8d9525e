"""A model by its name, opened with the engine that suits it: an export without torch, a run with it."""

from __future__ import annotations

import contextlib
import os
import shlex
from dataclasses import replace
from pathlib import Path

from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import Decoding
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.translator import Translator
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import sha256_file
from a2d_cli.project.exported import (
    Exported,
    broken_exports,
    check_files,
    ct2_exports_of,
    exports_named,
    is_export,
    read_export,
)
from a2d_cli.project.project import Project
from a2d_cli.project.run import WEIGHTS, Run, export_name, find_checkpoint, find_model
from a2d_cli.reporting import Reporter


def open_translator(
    project: Project,
    model: str | None,
    overrides: dict[str, float],
    device: str,
    reporter: Reporter,
    *,
    engine: str = "auto",
    threads: int = 0,
    align: bool = False,
) -> Translator:
    """The translator of a run or an export, with its own recipe's decoding settings under the given ones.

    Says which it is.

    Args:
        engine: torch, ct2, or auto: ct2 where an export of exactly these weights exists.
        threads: CPU threads; 0 = all.
        align: able to align words.

    Raises:
        ConfigError: no such model, or the engine does not go with it.
        A2DError: a folder that cannot be read, or a package that is missing.
    """
    folder = find_model(project, model, reporter)
    exported = find_export(project, folder, engine, reporter)
    if exported:
        translator, decoding = open_export(exported, device, threads), exported.decoding
        what = f"{exported.manifest.name} in {exported.manifest.quantization}, ctranslate2"
        reporter.info(f"translating with {os.path.relpath(exported.folder)} ({what})")
        return Translator(translator.engine, translator.tokenizer, _settings(decoding, overrides), align)
    from a2d_cli.commands.alignment_head import alignment_head

    if threads:
        limit_threads(threads)
    translator = open_checkpoint(folder, device, alignment_head(project, folder, reporter) if align else None)
    recipe_path = next((p for p in (folder / "recipe.yaml", folder.parent / "recipe.yaml") if p.exists()), None)
    decoding = read_project_recipe(recipe_path).decoding if recipe_path else Decoding()
    reporter.info(f"translating with {os.path.relpath(find_checkpoint(folder))} (torch)")
    return Translator(translator.engine, translator.tokenizer, _settings(decoding, overrides), align)


def _settings(decoding: Decoding, overrides: dict[str, float]) -> Decoding:
    decoding = replace(decoding, **{"nbest": 1, **overrides})
    return replace(decoding, beam=max(decoding.beam, decoding.nbest))


def find_export(project: Project, folder: Path, engine: str, reporter: Reporter) -> Exported | None:
    """What the ct2 engine is to load for a model folder; None: the torch engine is to load the folder itself.

    Raises:
        ConfigError: the engine does not go with the folder.
    """
    if is_export(folder):
        exported = read_export(folder)
        if exported.manifest.to != "ct2":
            raise ConfigError(
                f"{folder} is a Hugging Face export", "translate with the run it was made from, or with transformers"
            )
        if engine == "torch":
            raise ConfigError(
                f"{folder} is a CTranslate2 export, which --engine torch cannot load", "name the run it was made from"
            )
        return exported
    if engine == "torch":
        return None
    if not any(project.exports_dir.glob("*")) and engine == "auto":
        return None  # without reading the weights
    checkpoint = find_checkpoint(folder)
    found = ct2_exports_of(project, sha256_file(checkpoint / WEIGHTS))
    if found:
        return found[0]
    name = export_name(checkpoint)
    is_of_project = checkpoint.resolve() == Run(project.runs_dir / name).best_dir.resolve()
    command = project.command(f"export {shlex.quote(name if is_of_project else os.path.relpath(checkpoint))}")
    broken = "; ".join(str(problem) for problem in broken_exports(project))
    if engine == "ct2":
        raise ConfigError(
            f"there is no CTranslate2 export of '{name}' as it is now" + (f" (broken: {broken})" if broken else ""),
            command + (" --overwrite" if broken else ""),
        )
    if broken:
        reporter.warn(f"an export is left out: {broken}")
    if any(each.manifest.to == "ct2" for each in exports_named(project, name)):
        reporter.warn(
            f"the export of '{name}' is of other weights than it has now; translating with torch "
            f"(renew: {command} --overwrite)"
        )
    return None


def name_of_export(project: Project, exported: Exported) -> str:
    """What `--model` takes for this very export: the name of its run, if that leads to it, else its folder."""
    name = exported.manifest.name
    with contextlib.suppress(A2DError):
        found = find_export(project, find_model(project, name), "auto", Reporter())
        if found and found.folder.samefile(exported.folder):
            return name
    return os.path.relpath(exported.folder)


def open_export(exported: Exported, device: str, threads: int = 0) -> Translator:
    """An export folder of CTranslate2; loads no torch.

    Raises:
        A2DError: a file of it is damaged.
    """
    check_files(exported)
    from a2d_cli.decoding.ctranslate2_engine import CTranslate2Engine

    tokenizer = Tokenizer.load(exported.folder)
    engine = CTranslate2Engine(
        exported.folder, tokenizer, exported.manifest.shape["max_positions"], threads=threads, device=device
    )
    return Translator(engine, tokenizer, exported.decoding)


def open_checkpoint(folder: Path, device: str, alignment_head: tuple[int, int] | None = None) -> Translator:
    """A run or checkpoint folder, searched by torch."""
    from a2d_cli.data.batching import SpecialIds
    from a2d_cli.decoding.torch_engine import TorchEngine
    from a2d_cli.project.checkpoint import load_checkpoint
    from a2d_cli.training.distributed import choose_device

    checkpoint = load_checkpoint(folder, choose_device(device))
    engine = TorchEngine(checkpoint.model, SpecialIds.of(checkpoint.tokenizer), alignment_head)
    return Translator(engine, checkpoint.tokenizer, Decoding())


def limit_threads(threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
