"""Teacher-forced losses already taken on test sets: scores/fidelity.jsonl of a project, a line a model and text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from a2d_cli.files import disk_errors


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


class FidelityCache:
    def __init__(self, folder: Path):
        self._path = folder / "fidelity.jsonl"
        self._results: dict[str, FidelityResult] = {}
        for line in self._path.read_bytes().split(b"\n") if self._path.exists() else ():
            try:
                result = FidelityResult(**json.loads(line))
            except (ValueError, TypeError):  # cut short by a crash, or of another version: measured again
                continue
            if result.format == FidelityResult.format:
                self._results[result.key] = result

    def find(self, key: str) -> FidelityResult | None:
        return self._results.get(key)

    def add(self, result: FidelityResult) -> None:
        line = json.dumps(asdict(result), ensure_ascii=False).encode()
        with disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab") as stream:
                if stream.tell():
                    stream.write(b"\n")  # before, not after: stands apart even from a line that a crash cut short
                stream.write(line)
        self._results[result.key] = result
