"""A Hugging Face folder: MarianMT for a post-norm model, PEGASUS for a pre-norm one, with Marian's tokenizer.

Both have a2d's positions, scaling and biases, so the folder holds the same function. PEGASUS, known as a
summariser, is but a pre-norm Transformer with final norms. Writing needs no `transformers`; checking does.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from a2d_cli.config.schema import Decoding
from a2d_cli.data.aligned_text import Pair
from a2d_cli.data.batching import Batch, SpecialIds, pad_batch
from a2d_cli.data.cleaning import normalise
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError
from a2d_cli.files import atomic_path, temporary_folder, write_json
from a2d_cli.model.transformer import Transformer
from a2d_cli.project.checkpoint import save_weights, weights_of
from a2d_cli.project.marian import BIAS, EOS, PAD, POSITIONS, SHARED, SRC_TABLE, TGT_TABLE, THEIR_NAMES, UNK

TOLERANCE = 1e-4  # nats, between their log-probabilities and ours
_BATCH_SENTENCES = 8  # of the check
_REPORT = "please report this, it is not your fault; --to ct2 does not need transformers"
_FINAL_NORMS = {"encoder_norm.": "model.encoder.layer_norm.", "decoder_norm.": "model.decoder.layer_norm."}


def write_huggingface(
    model: Transformer, tokenizer: Tokenizer, pair: str, folder: Path, decoding: Decoding
) -> list[Path]:
    """Write what AutoModelForSeq2SeqLM and AutoTokenizer load; returns the files.

    Raises:
        A2DError: a model that no class of theirs can hold, or a tokenizer that is not the model's.
    """
    _require_representable(model, tokenizer)
    rows = _num_rows(model)
    values = {
        "config.json": _config(model),
        "generation_config.json": _generation_config(model, decoding),
        "tokenizer_config.json": _tokenizer_config(model, pair, decoding),
        "vocab.json": _numbered(tokenizer.src_pieces, rows),
    }
    if not model.vocabularies.joint:
        values["target_vocab.json"] = _numbered(tokenizer.tgt_pieces, rows)
    for name, value in values.items():
        write_json(folder / name, value)
    weights = folder / "model.safetensors"
    save_weights(weights, _weights(model))
    return [weights, *(folder / name for name in values), *_write_sentencepiece(tokenizer, folder)]


def _require_representable(model: Transformer, tokenizer: Tokenizer) -> None:
    sizes = model.vocabularies
    if model.shape.norm == "pre" and not sizes.joint:
        raise A2DError(
            "norm: pre with two vocabularies: Marian has no such norm, PEGASUS no second vocabulary",
            "export with --to ct2, which takes every model",
        )
    sides = {
        "source": (tokenizer.src_pieces, model.src_embedding),
        "target": (tokenizer.tgt_pieces, model.tgt_embedding),
    }
    for side, (pieces, embedding) in sides.items():
        if len(pieces) + 1 != embedding.num_embeddings:
            raise A2DError(
                f"the {side} vocabulary has {len(pieces)} pieces, the model {embedding.num_embeddings - 1}",
                "use the tokenizer that the model was trained with",
            )
        if [*pieces[:2]] != [EOS, UNK] or PAD in pieces:
            raise A2DError(
                f"the {side} vocabulary begins with {pieces[:2]} or has a piece '{PAD}': "
                f"Marian's tokenizer needs {[EOS, UNK]}, and '{PAD}' for padding alone",
                "export with --to ct2, which takes every tokenizer",
            )
        if embedding.weight[-1].any():
            raise A2DError(
                f"the {side} embedding of padding, from which the decoder starts, is not zero",
                "distil a student from this model and export that",
            )
    if sizes.joint and tokenizer.src_pieces != tokenizer.tgt_pieces:
        raise A2DError(
            "the model has one vocabulary for both languages, the tokenizer two",
            "use the tokenizer that the model was trained with",
        )
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise A2DError(
                f"'{name}' holds numbers that are not finite: training has diverged",
                "export another checkpoint",
            )


def _num_rows(model: Transformer) -> int:
    """Of both tables there: padding has one id, so the smaller table gets rows that nothing reads."""
    return max(model.vocabularies.src_size, model.vocabularies.tgt_size)


def _weights(model: Transformer) -> dict[str, Tensor]:
    """By their names, in float32; a table that is shared stands there once."""
    sizes, rows = model.vocabularies, _num_rows(model)
    ours = {name: weight.float() for name, weight in weights_of(model).items()}
    output_bias = ours.pop("output_bias", torch.zeros(sizes.tgt_pad))
    # Padding stands outside our softmax.
    theirs = {BIAS: nn.functional.pad(output_bias, (0, rows - sizes.tgt_pad), value=float("-inf"))[None]}
    tables = {"tgt_embedding.weight": SHARED if sizes.joint else TGT_TABLE, "src_embedding.weight": SRC_TABLE}
    for name, weight in ours.items():
        if name in tables:  # the last row, padding, is zero like those that are added
            weight = nn.functional.pad(weight, (0, 0, 0, rows - len(weight)))
        for part, their_part in {**tables, **THEIR_NAMES, **_FINAL_NORMS}.items():
            name = name.replace(part, their_part)
        theirs[name] = weight
    if model.shape.norm == "pre":  # Marian makes these itself; PEGASUS too, but warns that they are missing
        theirs |= {name: model.positions.cpu().clone() for name in POSITIONS}
    return theirs


def _config(model: Transformer) -> dict[str, Any]:
    shape, rows = model.shape, _num_rows(model)
    pre = shape.norm == "pre"
    return {
        "model_type": "pegasus" if pre else "marian",
        "architectures": ["PegasusForConditionalGeneration" if pre else "MarianMTModel"],
        "d_model": shape.d_model,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.num_heads,
        "decoder_attention_heads": shape.num_heads,
        "encoder_ffn_dim": shape.ffn_dim,
        "decoder_ffn_dim": shape.ffn_dim,
        "activation_function": shape.activation,
        "dropout": shape.dropout,
        "attention_dropout": shape.attention_dropout,
        "activation_dropout": 0.0,
        "max_position_embeddings": shape.max_positions,
        "scale_embedding": True,
        "static_position_embeddings": True,
        "normalize_before": pre,  # this and the next are for CTranslate2's converter
        "normalize_embedding": False,
        "vocab_size": rows,
        "decoder_vocab_size": rows,
        "share_encoder_decoder_embeddings": model.vocabularies.joint,
        "tie_word_embeddings": True,
        "is_encoder_decoder": True,
        **_special_ids(rows),
    }


def _special_ids(rows: int) -> dict[str, Any]:
    return {
        "bos_token_id": None,
        "eos_token_id": Tokenizer.eos,
        "pad_token_id": rows - 1,
        "decoder_start_token_id": rows - 1,
        "forced_eos_token_id": Tokenizer.eos,  # at the length limit, as in our search
    }


def _generation_config(model: Transformer, decoding: Decoding) -> dict[str, Any]:
    longest = int(decoding.max_source_tokens * decoding.max_length_ratio) + decoding.max_length_extra
    return {
        "num_beams": decoding.beam,
        "length_penalty": decoding.length_penalty,
        "no_repeat_ngram_size": decoding.no_repeat_ngram,
        "early_stopping": True,  # once `num_beams` translations have ended, as in our search
        "max_length": min(longest + 1, model.shape.max_positions),  # the start mark counts
        **_special_ids(_num_rows(model)),
    }


def _tokenizer_config(model: Transformer, pair: str, decoding: Decoding) -> dict[str, Any]:
    src_lang, tgt_lang = pair.split("-")
    longest = min(decoding.max_source_tokens + 1, model.shape.max_positions)  # the end mark counts
    return {
        "tokenizer_class": "MarianTokenizer",
        "source_lang": src_lang,
        "target_lang": tgt_lang,
        "eos_token": EOS,
        "unk_token": UNK,
        "pad_token": PAD,
        "separate_vocabs": not model.vocabularies.joint,
        "model_max_length": longest,
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # '</s>' in a text is text
    }


def _numbered(pieces: Sequence[str], rows: int) -> dict[str, int]:
    return {**{piece: i for i, piece in enumerate(pieces)}, PAD: rows - 1}


def _write_sentencepiece(tokenizer: Tokenizer, folder: Path) -> list[Path]:
    """Always two files; of a joint model both are the same."""
    written = [folder / "source.spm", folder / "target.spm"]
    with temporary_folder("a2d-") as place:
        models = [path for path in tokenizer.save(place) if path.suffix == ".model"]
        for path, model in zip(written, (models[0], models[-1]), strict=True):
            with atomic_path(path) as temporary:
                shutil.copyfile(model, temporary)
    return written


def check_huggingface(folder: Path, model: Transformer, tokenizer: Tokenizer, lines: Sequence[Pair]) -> dict[str, Any]:
    """Load the folder as its users will, and hold it against the model.

    Of each pair: the source's token ids, the target's tokens as text again, their log-probabilities given
    those before, and greedy search, whose every token must be the model's own first choice.

    Args:
        model: in evaluation mode.

    Returns:
        Facts for the manifest; where `transformers` is missing, `checked` is False and `why` says so.

    Raises:
        A2DError: other token ids, or log-probabilities that differ by more than `TOLERANCE`.
    """
    try:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer
    except ImportError:
        return {"checked": False, "why": "transformers is not installed: pip install 'a2d-cli[hf]'"}
    sources, targets = ([normalise(line) for line in side] for side in zip(*lines, strict=True))
    src_ids, tgt_ids = tokenizer.encode_src(sources), tokenizer.encode_tgt(targets)
    with _silence():
        their_tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        theirs = AutoModelForSeq2SeqLM.from_pretrained(folder, local_files_only=True).eval()
        theirs.to(model.positions.device)
        num_same_ids = _count_same_ids(their_tokenizer(sources)["input_ids"], src_ids, sources)
        texts = their_tokenizer.batch_decode(tgt_ids, skip_special_tokens=True)
        forced, greedy = [], []
        for batch in _batches(src_ids, tgt_ids, model):
            forced.append(_forced_difference(theirs, model, batch))
            greedy.append(_greedy_difference(theirs, model, batch.src))
    difference, below_best = torch.cat(forced).max().item(), torch.cat(greedy)
    worst = torch.cat([*forced, below_best]).max().item()
    if not worst <= TOLERANCE:  # nor NaN
        raise A2DError(
            f"{folder}: the log-probabilities of transformers {version('transformers')} differ from a2d's "
            f"by {worst:.2g} (at most {TOLERANCE:.0e})",
            _REPORT,
        )
    return {
        "checked": True,
        "transformers": version("transformers"),
        "lines": len(lines),
        "same_token_ids": num_same_ids,
        "same_text": sum(map(str.__eq__, texts, tokenizer.decode_tgt(tgt_ids))),
        "same_greedy": int((below_best == 0).sum()),
        "max_log_prob_difference": difference,
    }


def _count_same_ids(theirs: Sequence[Sequence[int]], ours: Sequence[Sequence[int]], lines: Sequence[str]) -> int:
    """How many lines have the same ids; only those with a mark of Marian's own may have others."""
    same = [list(their_ids) == [*ids, Tokenizer.eos] for their_ids, ids in zip(theirs, ours, strict=True)]
    for line, is_same in zip(lines, same, strict=True):
        if not is_same and not line.startswith(">>") and not any(mark in line for mark in (EOS, UNK, PAD)):
            raise A2DError(
                f"transformers {version('transformers')} splits '{line}' into other tokens than a2d",
                _REPORT,
            )
    return sum(same)


def _batches(src_ids: Sequence[list[int]], tgt_ids: Sequence[list[int]], model: Transformer) -> Iterator[Batch]:
    """With their id of padding; clamped to our last id, it is ours. Lines are cut to what the model takes."""
    pad, longest = _num_rows(model) - 1, model.shape.max_positions - 1
    for first in range(0, len(src_ids), _BATCH_SENTENCES):
        rows = slice(first, first + _BATCH_SENTENCES)
        src, tgt = ([np.array(ids[:longest], np.int64) for ids in side[rows]] for side in (src_ids, tgt_ids))
        yield pad_batch(src, tgt, SpecialIds(pad, pad, Tokenizer.eos)).to(model.positions.device)


@torch.inference_mode()
def _log_probs(model: Transformer, src: Tensor, tgt_in: Tensor) -> Tensor:
    """Ours, of their ids: (B, T, V-1)."""
    sizes = model.vocabularies
    states = model(src.clamp(max=sizes.src_pad), tgt_in.clamp(max=sizes.tgt_pad)).states
    return model.logits(states).log_softmax(-1)


@torch.inference_mode()
def _forced_difference(theirs: Any, model: Transformer, batch: Batch) -> Tensor:
    """(B,): the largest |Δ log p| of a target token."""
    mask = batch.src != _num_rows(model) - 1
    logits = theirs(input_ids=batch.src, attention_mask=mask.long(), decoder_input_ids=batch.tgt_in).logits
    token = batch.tgt_out.clamp(max=model.vocabularies.tgt_pad - 1)[..., None]
    found = logits.log_softmax(-1).gather(-1, token)
    expected = _log_probs(model, batch.src, batch.tgt_in).gather(-1, token)
    return ((found - expected)[..., 0].abs() * batch.tgt_mask).amax(1)


@torch.inference_mode()
def _greedy_difference(theirs: Any, model: Transformer, src: Tensor) -> Tensor:
    """(B,): how far a token of their greedy search is below the model's best one at most; 0 = the same."""
    pad, limit = _num_rows(model) - 1, min(2 * src.shape[1] + 10, model.shape.max_positions)
    mask = (src != pad).long()
    plain = {"num_beams": 1, "do_sample": False, "no_repeat_ngram_size": 0}
    found = theirs.generate(input_ids=src, attention_mask=mask, max_new_tokens=limit, **plain)
    tgt_out = found[:, 1:]
    tgt_in = nn.functional.pad(tgt_out[:, :-1], (1, 0), value=pad)  # our start, whatever theirs was
    log_probs = _log_probs(model, src, tgt_in)
    token = tgt_out.clamp(max=model.vocabularies.tgt_pad - 1)[..., None]
    loss = log_probs.amax(-1) - log_probs.gather(-1, token)[..., 0]
    chosen = tgt_out != pad
    chosen[:, limit - 1 :] = False  # there the end mark is forced
    return loss.masked_fill(~chosen, 0.0).amax(1)


@contextmanager
def _silence() -> Iterator[None]:
    """Without the bars and the advice of transformers on stderr."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
