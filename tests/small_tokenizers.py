"""Tokenizers of every kind over an invented text, for the tests of exports."""

from __future__ import annotations

import functools
import io
import random

import sentencepiece

from a2d_cli.data.tokenizer import Tokenizer

KINDS = ("joint", "separate", "one list", "two lists")

_rng = random.Random(5)
_words = ["".join(_rng.choices("abdeklmnostu<>/pä", k=_rng.randint(1, 5))) for _ in range(40)]
PAIRS = [
    (" ".join(_rng.choices(_words, k=_rng.randint(1, 7))), " ".join(_rng.choices(_words, k=5)).upper())
    for _ in range(211)
]


@functools.cache
def _model(side: str, num_pieces: int) -> bytes:
    sides = {"src": [src for src, _ in PAIRS], "tgt": [tgt for _, tgt in PAIRS]}
    lines = sides["src"] + sides["tgt"] if side == "joint" else sides[side]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=model,
        vocab_size=num_pieces,
        normalization_rule_name="identity",
        eos_id=0,
        unk_id=1,
        bos_id=-1,
        pad_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


@functools.cache
def small_tokenizer(kind: str) -> Tokenizer:
    """Joint; separate, of different sizes; two SentencePiece models over one list of pieces, or over two."""
    if kind == "joint":
        return Tokenizer(_model("joint", 71))
    separate = Tokenizer(_model("src", 41), _model("tgt", 47))
    if kind == "separate":
        return separate
    if kind == "one list":
        known = {*separate.src_pieces, *separate.tgt_pieces} - {"</s>", "<unk>"}
        return over_lists(["</s>", "<unk>", ">>de<<", *sorted(known)])
    return over_lists(separate.src_pieces[:37], separate.tgt_pieces[:43])


def over_lists(*lists: list[str]) -> Tokenizer:
    return Tokenizer(_model("src", 41), _model("tgt", 47), pieces=lists)
