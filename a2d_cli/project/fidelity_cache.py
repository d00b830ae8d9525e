"""Teacher-forced losses already taken on test sets: scores/fidelity.jsonl of a project, a line a model and text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from a2d_cli.project.result_log import ResultLog


@dataclass(frozen=True)
class FidelityResult:
    key: str  # fingerprint of model, teacher, text, engine and device
    model: str
    test_set: str
    weights_sha256: str
    teacher_sha256: str
    src_sha256: str
    tgt_sha256: str
    nll: float  # nats per target token, without label smoothing
    kl: float  # KL(teacher ‖ model), nats per target token
    num_tokens: int
    num_left_out: int  # pairs too long for the models
    engine: str
    a2d: str  # version
    format: int = 1


def open_fidelity_cache(scores_dir: Path) -> ResultLog[FidelityResult]:
    return ResultLog(scores_dir / "fidelity.jsonl", FidelityResult)
