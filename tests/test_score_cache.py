"""What tells one model's scores from another's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from a2d_cli.project.score_cache import describe_model

CONFIG = {
    "format": 1,
    "pair": "de-en",
    "parameters": 7,
    "tokenizer": "0123",
    "shape": {"num_heads": 2, "norm": "post"},
    "vocabularies": {"src_size": 8, "tgt_size": 8, "joint": True},
}


def identity(folder: Path, weights: bytes = b"weights", **changes: Any) -> str:
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(json.dumps(CONFIG | changes), encoding="utf-8")
    return describe_model(folder).identity


@pytest.mark.parametrize(
    "change",
    [
        {"weights": b"others"},
        {"tokenizer": "4567"},
        {"shape": {"num_heads": 3, "norm": "post"}},  # as many weights, in as many tensors
        {"shape": {"num_heads": 2, "norm": "pre"}},
    ],
)
def test_equal_weights_of_another_form_or_tokenizer_are_another_model(tmp_path: Path, change: dict[str, Any]):
    assert identity(tmp_path / "one") == identity(tmp_path / "copy")
    assert identity(tmp_path / "other", **change) != identity(tmp_path / "again")
