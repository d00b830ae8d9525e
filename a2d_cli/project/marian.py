"""A Marian model in Hugging Face form (OPUS-MT, MarianMT) read as a Transformer of ours.

Positions, scaling, norms and biases are the same on both sides, so it is the same function; but the rows of a
vocabulary stand in our order. Everything in the folder must be understood, or it is refused: a model that is nearly
read would be a bad teacher without a word. Reading needs no `transformers`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from a2d_cli.config.schema import ModelShape
from a2d_cli.data.tokenizer import Tokenizer, is_whole_model
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.model.transformer import Transformer, Vocabularies, sinusoids
from a2d_cli.project.checkpoint import load_weights

EOS, UNK, PAD = "</s>", "<unk>", "<pad>"  # Marian's names of our rows 0, 1 and last
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "silu", "silu": "silu"}
WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
TEXT_TEACHES = (
    "choose a model of the OPUS-MT kind; any other can teach by its translations: 'a2d distill --pseudo SRC HYP'"
)
DOWNLOAD_AGAIN = "download the folder again, with its large files"

# What these keys of config.json must say, and what transformers takes them for where they are missing.
REQUIRED: dict[str, tuple[Any, Any]] = {
    "model_type": ("marian", None),
    "scale_embedding": (True, False),
    "static_position_embeddings": (True, True),
    "normalize_before": (False, False),
    "normalize_embedding": (False, False),
    "add_final_layer_norm": (False, False),
}
# Parts of our names of the weights, and theirs.
THEIR_NAMES = {
    "encoder_layers.": "model.encoder.layers.",
    "decoder_layers.": "model.decoder.layers.",
    "self_attention.": "self_attn.",
    "cross_attention.": "encoder_attn.",
    "feed_forward.fc": "fc",
    "around_attention.norm": "self_attn_layer_norm",
    "around_self.norm": "self_attn_layer_norm",
    "around_cross.norm": "encoder_attn_layer_norm",
    "around_feed_forward.norm": "final_layer_norm",
}
SHARED, LM_HEAD, BIAS = "model.shared.weight", "lm_head.weight", "final_logits_bias"
SRC_TABLE, TGT_TABLE = "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"
POSITIONS = ("model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight")
FP16_ERROR = 1e-3  # of numbers up to 1 that were stored in half precision


@dataclass(frozen=True)
class MarianModel:
    """What a folder holds."""

    model: Transformer
    tokenizer: Tokenizer
    pair: str  # SRC-TGT as the folder says it: no language pair of ours if it names groups; empty: it says nothing

    @property
    def starts_from_zero(self) -> bool:
        """Whether the decoder starts from a zero vector, as Marian itself does."""
        return not self.model.tgt_embedding.weight[self.model.vocabularies.tgt_pad].any()


def read_marian(folder: Path) -> MarianModel:
    """Read a local folder: config.json, weights, source.spm, target.spm, vocab.json.

    Raises:
        ConfigError: no such folder.
        A2DError: a file is missing or unreadable, or the model is not of this form (which value, where).
    """
    weights_path = _find_files(folder)
    config = _read_json(folder / "config.json")
    about = _read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    shape = _shape(config, folder / "config.json")
    weights = _Weights(weights_path)

    joint = config.get("share_encoder_decoder_embeddings", True)
    separate = about.get("separate_vocabs", (folder / "target_vocab.json").is_file())
    if joint and separate:
        raise A2DError(
            f"{folder}: two vocabularies (target_vocab.json), but config.json shares one embedding between them",
            DOWNLOAD_AGAIN,
        )
    if joint:
        tables = [weights.take_table(shape.d_model, SHARED, SRC_TABLE, TGT_TABLE, LM_HEAD)]
    else:
        tables = [weights.take_table(shape.d_model, SRC_TABLE), weights.take_table(shape.d_model, TGT_TABLE, LM_HEAD)]
    files = [folder / "vocab.json", folder / ("target_vocab.json" if separate else "vocab.json")]
    sides = [_read_side(path, config, len(table)) for path, table in zip(files, tables, strict=False)]

    bias = weights.take_bias(sides[-1].rows)
    shape = replace(shape, output_bias=bool(bias.any()))
    model = Transformer(shape, Vocabularies(len(tables[0]), len(tables[-1]), joint)).eval()
    ours = {"tgt_embedding.weight": tables[-1][sides[-1].rows]}
    if not joint:
        ours["src_embedding.weight"] = tables[0][sides[0].rows]
    if shape.output_bias:
        ours["output_bias"] = bias
    for name, parameter in model.named_parameters():
        if name not in ours:
            ours[name] = weights.take(_their_name(name), list(parameter.shape))
    weights.check_positions(shape)
    weights.check_all_taken()
    load_weights(model, ours, str(weights_path))

    spm = [_read_spm(folder / name) for name in ("source.spm", "target.spm")]
    tokenizer = Tokenizer(*spm, pieces=[side.pieces for side in sides])
    languages = (about.get("source_lang"), about.get("target_lang"))
    return MarianModel(model, tokenizer, "-".join(map(str, languages)) if all(languages) else "")


def _find_files(folder: Path) -> Path:
    """Refuse a folder that lacks files; returns that of the weights."""
    if not folder.is_dir():
        raise ConfigError(
            f"{folder}: no such folder",
            "name a local folder: a2d downloads no models (try `hf download NAME --local-dir DIR`)",
        )
    missing = [
        name for name in ("config.json", "source.spm", "target.spm", "vocab.json") if not (folder / name).is_file()
    ]
    weights = next((folder / name for name in WEIGHTS_FILES if (folder / name).is_file()), None)
    if weights is None:
        missing.append(" or ".join(WEIGHTS_FILES))
    if missing:
        raise A2DError(
            f"{folder}: not a whole Marian model in Hugging Face form: no {', no '.join(missing)}",
            "name the folder that holds these files, as Helsinki-NLP's OPUS-MT models have them",
        )
    assert weights
    return weights


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value, problem = json.loads(path.read_text(encoding="utf-8")), "no JSON object"
    except (ValueError, RecursionError) as error:  # no JSON, or no UTF-8
        value, problem = None, str(error)
    if not isinstance(value, dict):
        raise A2DError(f"{path}: cannot be read: {problem}", DOWNLOAD_AGAIN)
    return value


def _read_spm(path: Path) -> bytes:
    model = path.read_bytes()
    if not is_whole_model(model):
        raise A2DError(f"{path}: cut short, or no SentencePiece model", DOWNLOAD_AGAIN)
    return model


# --- config.json


def _shape(config: dict[str, Any], path: Path) -> ModelShape:
    """Dropout, of no more use to an imported model, keeps its default; the output bias is known from the weights."""
    for key, (wanted, silent) in REQUIRED.items():
        if config.get(key, silent) != wanted:
            raise A2DError(
                (
                    f"{path}: {key} is {json.dumps(config.get(key, silent))}: "
                    f"only models with {json.dumps(wanted)} can be imported"
                ),
                TEXT_TEACHES,
            )
    sizes = {}
    for key in ("d_model", "encoder_layers", "decoder_layers", "max_position_embeddings"):
        sizes[key] = _whole_number(config, key, path)
    for key in ("attention_heads", "ffn_dim"):
        sizes[key], other = (_whole_number(config, f"{side}_{key}", path) for side in ("encoder", "decoder"))
        if sizes[key] != other:
            raise A2DError(
                f"{path}: encoder_{key} is {sizes[key]}, decoder_{key} {other}: they must be the same", TEXT_TEACHES
            )
    if sizes["d_model"] % 2 or sizes["d_model"] % sizes["attention_heads"]:
        raise A2DError(
            f"{path}: d_model {sizes['d_model']} is not an even multiple of {sizes['attention_heads']} heads",
            DOWNLOAD_AGAIN,
        )
    activation = config.get("activation_function", "gelu")
    if activation not in ACTIVATIONS:
        raise A2DError(
            f"{path}: activation_function is '{activation}': only {', '.join(ACTIVATIONS)} can be imported",
            TEXT_TEACHES,
        )
    return ModelShape(
        d_model=sizes["d_model"],
        num_heads=sizes["attention_heads"],
        ffn_dim=sizes["ffn_dim"],
        encoder_layers=sizes["encoder_layers"],
        decoder_layers=sizes["decoder_layers"],
        activation=ACTIVATIONS[activation],
        norm="post",
        max_positions=sizes["max_position_embeddings"],
    )


def _whole_number(config: dict[str, Any], key: str, path: Path) -> int:
    value = config.get(key)
    if not isinstance(value, int) or value < 1:
        raise A2DError(f"{path}: {key}: expected a whole number from 1, got {json.dumps(value)}", DOWNLOAD_AGAIN)
    return value


# --- vocab.json


@dataclass(frozen=True)
class _Side:
    """A vocabulary in our order."""

    pieces: list[str]  # without padding
    rows: list[int]  # of their tables, padding last


def _read_side(path: Path, config: dict[str, Any], num_rows: int) -> _Side:
    id_of = _read_json(path)
    if sorted(each for each in id_of.values() if type(each) is int) != [*range(num_rows)]:
        raise A2DError(
            f"{path}: its {len(id_of)} ids are not those of the {num_rows} rows of the embedding", DOWNLOAD_AGAIN
        )
    for piece in (EOS, UNK, PAD):
        if piece not in id_of:
            raise A2DError(f"{path}: no piece '{piece}'", TEXT_TEACHES)
    # The decoder starts from padding, as ours does.
    for key, piece in (("eos_token_id", EOS), ("pad_token_id", PAD), ("decoder_start_token_id", PAD)):
        if config.get(key, id_of[piece]) != id_of[piece]:
            raise A2DError(
                (
                    f"{path.with_name('config.json')}: {key} is {config[key]}, "
                    f"but '{piece}' is {id_of[piece]} in {path.name}"
                ),
                TEXT_TEACHES,
            )
    ordinary = sorted(id_of.keys() - {EOS, UNK, PAD}, key=id_of.__getitem__)
    pieces = [EOS, UNK, *ordinary]
    return _Side(pieces, [id_of[piece] for piece in (*pieces, PAD)])


# --- weights


class _Weights:
    """The tensors of a file in single precision; each must be taken."""

    def __init__(self, path: Path):
        self._path = path
        self._left = {name: tensor.float() for name, tensor in _load(path).items()}

    def take(self, name: str, shape: list[int]) -> Tensor:
        if name not in self._left:
            raise A2DError(f"{self._path}: no '{name}', which config.json promises", DOWNLOAD_AGAIN)
        tensor = self._left.pop(name)
        if list(tensor.shape) != shape:
            raise A2DError(
                f"{self._path}: '{name}' has shape {list(tensor.shape)}, by config.json {shape}", DOWNLOAD_AGAIN
            )
        return self._finite(name, tensor)

    def _finite(self, name: str, tensor: Tensor) -> Tensor:
        if not tensor.isfinite().all():
            raise A2DError(f"{self._path}: '{name}' holds numbers that are not finite", DOWNLOAD_AGAIN)
        return tensor

    def take_table(self, d_model: int, *names: str) -> Tensor:
        """The one table (V, d) that goes by these names."""
        found = {name: self._left.pop(name) for name in names if name in self._left}
        if not found:
            raise A2DError(f"{self._path}: no '{names[0]}'", DOWNLOAD_AGAIN)
        (first, table), *others = found.items()
        if table.shape[1:] != (d_model,):
            raise A2DError(
                f"{self._path}: '{first}' has shape {list(table.shape)}, by config.json [V, {d_model}]", DOWNLOAD_AGAIN
            )
        for name, other in others:
            if not torch.equal(table, other):
                raise A2DError(
                    f"{self._path}: '{first}' and '{name}' differ: only models that tie them can be imported",
                    TEXT_TEACHES,
                )
        return self._finite(first, table)

    def take_bias(self, rows: list[int]) -> Tensor:
        """(V-1,) in the order of `rows` but the last, padding, which -inf may forbid; zeros where there is none."""
        bias = self._left.pop(BIAS, torch.zeros(1, len(rows)))
        if bias.shape != (1, len(rows)):
            raise A2DError(
                f"{self._path}: '{BIAS}' has shape {list(bias.shape)}, the embedding {len(rows)} rows", DOWNLOAD_AGAIN
            )
        return self._finite(BIAS, bias[0, rows[:-1]])

    def check_positions(self, shape: ModelShape) -> None:
        for name in POSITIONS:
            if name in self._left:
                found = self.take(name, [shape.max_positions, shape.d_model])
                if not torch.allclose(found, sinusoids(shape.max_positions, shape.d_model), atol=FP16_ERROR):
                    raise A2DError(f"{self._path}: '{name}' is not Marian's table of sinusoids", TEXT_TEACHES)

    def check_all_taken(self) -> None:
        if self._left:
            raise A2DError(
                f"{self._path}: '{min(self._left)}' has no place in a plain Marian model "
                f"({len(self._left)} such weights)",
                TEXT_TEACHES,
            )


def _load(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            return load_file(str(path))
        weights = torch.load(path, map_location="cpu", weights_only=True)
        return {name: weights[name].detach() for name in weights}
    except Exception as error:  # whatever the parsers meet in a broken file
        raise A2DError(f"{path}: cut short, or no file of weights ({type(error).__name__})", DOWNLOAD_AGAIN) from error


def _their_name(name: str) -> str:
    for ours, theirs in THEIR_NAMES.items():
        name = name.replace(ours, theirs)
    return name
