"""A Transformer as a CTranslate2 model: the same numbers, in the layout of its specification.

Only `Converter` and `convert` are covered by CTranslate2's promise of stability; its specifications may move, so tests
hold the round trip.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.ctranslate2_engine import load_ctranslate2
from a2d_cli.errors import A2DError
from a2d_cli.model.attention import MultiHeadAttention
from a2d_cli.model.transformer import LAYER_NORM_EPS, DecoderLayer, FeedForward, Transformer

QUANTIZATIONS = ("float32", "float16", "int16", "int8", "int8_float32", "int8_float16")


def write_ctranslate2(
    model: Transformer,
    tokenizer: Tokenizer,
    folder: Path,
    quantization: str,
    alignment_head: tuple[int, int] | None = None,
) -> list[Path]:
    """Write model.bin, config.json and the vocabularies.

    Args:
        quantization: of QUANTIZATIONS.
        alignment_head: (layer, head) of the cross-attention that `return_attention` gives, from 0; None: the mean
            of the last layer's heads.

    Raises:
        A2DError: the package is missing, or the model starts from an embedding that is not zero.
    """
    if bool(model.tgt_embedding.weight[model.vocabularies.tgt_pad].any()):
        raise A2DError(
            "the decoder starts from an embedding that is not zero, which CTranslate2 cannot hold",
            "distil a student from this model and export that",
        )
    ctranslate2 = load_ctranslate2()

    class A2DConverter(ctranslate2.converters.Converter):
        def _load(self) -> Any:
            return _specification(model, tokenizer, alignment_head)

    folder.mkdir(parents=True, exist_ok=True)
    built = folder / "built"  # it is made anew by the converter, and `folder` may be locked by whoever writes it
    A2DConverter().convert(str(built), quantization=None if quantization == "float32" else quantization, force=True)
    for path in built.iterdir():
        path.rename(folder / path.name)
    built.rmdir()
    return sorted(folder.iterdir())


def _specification(model: Transformer, tokenizer: Tokenizer, alignment_head: tuple[int, int] | None) -> Any:
    from ctranslate2.specs import common_spec, transformer_spec

    shape, pads = model.shape, model.vocabularies
    layer, head = alignment_head or (shape.decoder_layers - 1, None)
    spec = transformer_spec.TransformerSpec.from_config(
        (shape.encoder_layers, shape.decoder_layers),
        shape.num_heads,
        pre_norm=shape.norm == "pre",
        activation={
            "relu": common_spec.Activation.RELU,
            "gelu": common_spec.Activation.GELU,
            "silu": common_spec.Activation.SWISH,
        }[shape.activation],
        alignment_layer=layer,
        alignment_heads=0 if head is None else 1,  # so many of the layer's first heads are averaged; 0 = all
    )
    # Padding stands outside the softmax, so its row, the last, is left out.
    spec.encoder.embeddings[0].weight = _array(model.src_embedding.weight[: pads.src_pad])
    spec.decoder.embeddings.weight = _array(model.tgt_embedding.weight[: pads.tgt_pad])
    spec.decoder.projection.weight = _array(model.tgt_embedding.weight[: pads.tgt_pad])
    if model.output_bias is not None:
        spec.decoder.projection.bias = _array(model.output_bias[: pads.tgt_pad])
    for side in (spec.encoder, spec.decoder):
        side.scale_embeddings = float(np.sqrt(shape.d_model))
        side.position_encodings.encodings = _array(model.positions)
    if shape.norm == "pre":
        _norm(spec.encoder.layer_norm, model.encoder_norm)
        _norm(spec.decoder.layer_norm, model.decoder_norm)
    for target, source in zip(spec.encoder.layer, model.encoder_layers, strict=True):
        _self_attention(target.self_attention, source.self_attention, source.around_attention.norm)
        _feed_forward(target.ffn, source.feed_forward, source.around_feed_forward.norm)
    for i, (target, source) in enumerate(zip(spec.decoder.layer, model.decoder_layers, strict=True)):
        _decoder_layer(target, source, first_head=(head or 0) if i == layer else 0)
    spec.decoder.start_from_zero_embedding = True
    spec.register_source_vocabulary(tokenizer.src_pieces)
    spec.register_target_vocabulary(tokenizer.tgt_pieces)
    end, unknown = (tokenizer.tgt_pieces[i] for i in (tokenizer.eos, tokenizer.unk))
    spec.config.bos_token = end  # there is none; the decoder starts from zero
    spec.config.eos_token, spec.config.unk_token, spec.config.decoder_start_token = end, unknown, end
    spec.config.add_source_bos, spec.config.add_source_eos = False, True
    spec.config.layer_norm_epsilon = LAYER_NORM_EPS
    return spec


def _decoder_layer(target: Any, source: DecoderLayer, first_head: int) -> None:
    _self_attention(target.self_attention, source.self_attention, source.around_self.norm)
    _cross_attention(target.attention, source.cross_attention, source.around_cross.norm, first_head)
    _feed_forward(target.ffn, source.feed_forward, source.around_feed_forward.norm)


def _self_attention(target: Any, source: MultiHeadAttention, norm: nn.LayerNorm) -> None:
    _linear(target.linear[0], source.q_proj, source.k_proj, source.v_proj)
    _linear(target.linear[1], source.out_proj)
    _norm(target.layer_norm, norm)


def _cross_attention(target: Any, source: MultiHeadAttention, norm: nn.LayerNorm, first_head: int) -> None:
    """With `first_head` put first, whose attention CTranslate2 gives: the order of heads changes no result."""
    heads = np.arange(source.num_heads)
    heads = np.concatenate([[first_head], heads[heads != first_head]])
    width = source.q_proj.out_features // source.num_heads
    rows = (heads[:, None] * width + np.arange(width)).ravel()
    _linear(target.linear[0], source.q_proj, rows=rows)
    _linear(target.linear[1], source.k_proj, source.v_proj, rows=rows)
    target.linear[2].weight = _array(source.out_proj.weight)[:, rows]
    target.linear[2].bias = _array(source.out_proj.bias)
    _norm(target.layer_norm, norm)


def _feed_forward(target: Any, source: FeedForward, norm: nn.LayerNorm) -> None:
    _linear(target.linear_0, source.fc1)
    _linear(target.linear_1, source.fc2)
    _norm(target.layer_norm, norm)


def _linear(target: Any, *sources: nn.Linear, rows: Any = slice(None)) -> None:
    """One or several, stacked."""
    target.weight = np.concatenate([_array(source.weight)[rows] for source in sources])
    target.bias = np.concatenate([_array(source.bias)[rows] for source in sources])


def _norm(target: Any, source: nn.LayerNorm) -> None:
    target.gamma, target.beta = _array(source.weight), _array(source.bias)


def _array(tensor: Tensor) -> np.ndarray:
    """A copy: quantisation scales its arrays in place, and those of `numpy()` are the model's own."""
    return tensor.detach().cpu().float().numpy().copy()
