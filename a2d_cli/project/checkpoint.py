"""A checkpoint folder: weights as safetensors and a config.json that says what they are."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from a2d_cli import __version__
from a2d_cli.config.rules import check_shape
from a2d_cli.config.schema import ModelShape
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError
from a2d_cli.files import atomic_path, sha256_file, write_json
from a2d_cli.json_files import fit, read_json
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.run import CONFIG, WEIGHTS, CheckpointConfig, find_checkpoint

FORMAT = 1  # of config.json


@dataclass(frozen=True)
class Checkpoint:
    """A model read back, with what it needs to read and write text."""

    folder: Path
    model: Transformer
    tokenizer: Tokenizer
    pair: str
    config: dict[str, Any]
    weights_sha256: str


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Parameters by name, each tied table once, on the CPU: of a model there, its own memory."""
    return {name: parameter.detach().cpu().contiguous() for name, parameter in module.named_parameters()}


def load_weights(module: nn.Module, weights: dict[str, Tensor], where: str) -> None:
    """Copy weights in; every name and shape must agree.

    Raises:
        A2DError: a name is missing or too many, or a shape differs (names the first).
    """
    own = dict(module.named_parameters())
    if own.keys() != weights.keys():
        odd = min(own.keys() ^ weights.keys())
        raise A2DError(
            f"{where}: weights do not fit the model: '{odd}' stands on one side only", "use the run's own config.json"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != weights[name].shape:
                raise A2DError(
                    f"{where}: '{name}' has shape {list(weights[name].shape)}, the model {list(parameter.shape)}",
                    "use the run's own config.json",
                )
            parameter.copy_(weights[name])


def read_whole(paths: Iterable[Path]) -> dict[Path, dict[str, Tensor]]:
    """Of files of weights those that are there and can be read."""
    found = {}
    for path in paths:
        with contextlib.suppress(A2DError):
            found[path] = read_weights(path)
    return found


def mean_weights(weights: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The average of several weights of the same model."""
    return {name: torch.stack([each[name] for each in weights]).mean(0) for name in weights[0]}


def weights_hash(module: nn.Module) -> str:
    """Sixteen hex digits of all weights, in name order: equal for equal weights on every machine."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights_of(module).items()):
        digest.update(name.encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()[:16]


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write a safetensors file that is either whole or not there."""
    with atomic_path(path) as temporary:
        try:
            save_file(weights, str(temporary), metadata={"format": "pt"})
        except SafetensorError as error:
            number = re.search(r"\(os error (\d+)\)", str(error))  # how safetensors tells the system's own error
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises:
        A2DError: missing, cut short, or no safetensors file.
    """
    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise A2DError(f"{path}: no such weights", "name a run, a run folder or a checkpoint folder") from None
    except (SafetensorError, ValueError) as error:
        raise A2DError(
            f"{path}: cut short or not written by a2d ({error})",
            "copy the file again, or train again with the same command",
        ) from None


def save_checkpoint(
    folder: Path, model: Transformer, weights: dict[str, Tensor], pair: str, tokenizer: Tokenizer, **facts: Any
) -> None:
    """Write weights and config.json into a checkpoint folder.

    Args:
        weights: what to store under the model's shape (its own, or an average).
        facts: JSON values for people: update, scores.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(folder / WEIGHTS, weights)
    config = {
        "format": FORMAT,
        "a2d": __version__,
        "pair": pair,
        "shape": asdict(model.shape),
        "vocabularies": asdict(model.vocabularies),
        "tokenizer": tokenizer.fingerprint,
        "parameters": model.num_parameters,
        **facts,
    }
    write_json(folder / CONFIG, config)


def load_checkpoint(path: Path, device: torch.device | str = "cpu") -> Checkpoint:
    """Read a run folder (its best checkpoint) or a checkpoint folder, in evaluation mode.

    Raises:
        A2DError: not a folder of ours, cut short, of a newer format, or without its tokenizer.
    """
    folder = find_checkpoint(Path(path))
    config = read_json(folder / CONFIG, "checkpoint config", CheckpointConfig, FORMAT)
    try:
        shape, vocabularies = fit(config["shape"], ModelShape), fit(config["vocabularies"], Vocabularies)
    except ValueError as error:
        raise A2DError(f"{folder / CONFIG}: not a checkpoint config of a2d: {error}", "copy the folder again") from None
    check_shape(shape, str(folder / CONFIG))
    model, fingerprint = Transformer(shape, vocabularies), config["tokenizer"]
    tokenizer = Tokenizer.beside(folder)
    if tokenizer.fingerprint != fingerprint:
        raise A2DError(
            (
                f"{folder}: the tokenizer beside it ({tokenizer.fingerprint}) "
                f"is not the one it was trained with ({fingerprint})"
            ),
            "copy the whole run folder, spm.model included",
        )
    load_weights(model, read_weights(folder / WEIGHTS), str(folder))
    return Checkpoint(folder, model.to(device).eval(), tokenizer, config["pair"], config, sha256_file(folder / WEIGHTS))
