"""Scores already made: who translated what, with which settings, and what came of it (scores/ of a project)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import msgspec

from a2d_cli.config.keys import END_KEYS, FREE_KEYS
from a2d_cli.files import fingerprint, sha256_file, write_text
from a2d_cli.json_files import read_json
from a2d_cli.project.exported import MODEL_FILE, Exported
from a2d_cli.project.result_log import ResultLog
from a2d_cli.project.run import (
    CONFIG,
    WEIGHTS,
    CheckpointConfig,
    Run,
    find_checkpoint,
    is_taught_by,
    model_name,
    teacher_digits,
)

NO_SPEED = "–: no speed, for other work shared the machine; 'a2d score --refresh' measures it"  # below a table


@dataclass(frozen=True)
class ScoredModel:
    """A checkpoint as it can be known without loading its weights."""

    name: str
    folder: Path
    kind: str  # teacher, student, or empty for a checkpoint without its run
    method: str  # of a student
    seed: int | None
    updates: int | None  # of its training; None: unknown (an export's are those of its run)
    teacher: str  # of a distilled student: first digits of its teacher's hash (an ensemble's: with commas), else empty
    pair: str
    parameters: int
    file_bytes: int  # of model.safetensors, or of an export's model.bin
    weights_sha256: str
    identity: str  # fingerprint of all that its translations depend on
    trained_as: str = ""  # fingerprint of text, tokenizer and settings of its training, but for seed and length
    quantization: str = ""  # of an export

    @property
    def is_export(self) -> bool:
        return bool(self.quantization)

    def is_taught_by(self, other: ScoredModel) -> bool:
        """Whether that is its teacher, or a member of the ensemble that was."""
        return is_taught_by(self.teacher, other.weights_sha256)


def describe_export(exported: Exported) -> ScoredModel:
    manifest = exported.manifest
    return ScoredModel(
        name=f"{manifest.name} {manifest.quantization}",
        folder=exported.folder,
        kind=manifest.kind,
        method=manifest.method if manifest.kind == "student" else "",
        seed=manifest.seed,
        updates=None,
        teacher=(manifest.teacher or {}).get("weights_sha256", ""),
        pair=manifest.pair,
        parameters=manifest.parameters,
        file_bytes=(exported.folder / MODEL_FILE).stat().st_size,
        weights_sha256=manifest.weights_sha256,
        identity=fingerprint(manifest.files),
        quantization=manifest.quantization,
    )


def describe_model(folder: Path) -> ScoredModel:
    """Raises A2DError: no checkpoint here, or its config.json is not ours."""
    checkpoint = find_checkpoint(folder)
    weights = checkpoint / WEIGHTS
    config = read_json(checkpoint / CONFIG, "checkpoint config", CheckpointConfig)
    info = Run(checkpoint.parent).info  # empty for a checkpoint that was copied out of its run
    weights_sha256 = sha256_file(weights)
    return ScoredModel(
        name=model_name(checkpoint),
        folder=checkpoint,
        kind=info.get("kind", ""),
        method=info.get("method", "") if info.get("kind") == "student" else "",
        seed=info.get("seed"),
        updates=info.get("updates"),
        teacher=teacher_digits(info),
        pair=config["pair"],
        parameters=config["parameters"],
        file_bytes=weights.stat().st_size,
        weights_sha256=weights_sha256,
        identity=fingerprint([weights_sha256, config["tokenizer"], config["shape"]]),
        trained_as=_trained_as(info.get("settings", {})),
    )


def _trained_as(settings: Mapping[str, Any]) -> str:
    training = {
        key: value
        for key, value in settings.get("training", {}).items()
        if f"training.{key}" not in FREE_KEYS and f"training.{key}" not in END_KEYS
    }
    return fingerprint([training, settings.get("data"), settings.get("tokenizer")])


class ScoreFacts(TypedDict):
    """A `scoring.Score` as JSON has it."""

    name: str
    value: float
    signature: str
    verbose: str
    confidence: tuple[float, float] | None


@dataclass(frozen=True)
class Result:
    """A line of scores/results.jsonl: one model's translation of one test set, and what it is worth."""

    key: str  # fingerprint of model, source text, decoding and engine
    model: str
    test_set: str
    translated_at: str  # UTC
    hypotheses: str  # a file in scores/
    hypotheses_sha256: str
    src_sha256: str
    tgt_sha256: str
    weights_sha256: str
    parameters: int
    file_bytes: int
    decoding: dict[str, Any]
    sentences: int
    translation_s: float | None  # without loading the model and the batch that warms it up; None: not measured
    machine: str  # `cpu, 2 threads`, or the GPU's name
    a2d: str  # version
    engine: str  # that searched, with its version
    scores: Annotated[list[ScoreFacts], msgspec.Meta(min_length=2)]  # BLEU and chrF2
    format: int = 2

    @property
    def sentences_per_s(self) -> float | None:
        return None if self.translation_s is None else self.sentences / self.translation_s

    @property
    def speed_text(self) -> str:
        """Sentences per second."""
        return "–" if self.sentences_per_s is None else f"{self.sentences_per_s:.1f}"


class ScoreCache:
    """scores/: a file a translation, and results.jsonl that says what each is."""

    def __init__(self, folder: Path):
        self._folder, self._log = folder, ResultLog(folder / "results.jsonl", Result)

    def find(self, key: str) -> Result | None:
        """The last result of this key, if its translations are still what they were."""
        result = self._log.find(key)
        if result is None:
            return None
        path = self._folder / result.hypotheses
        return result if path.is_file() and sha256_file(path) == result.hypotheses_sha256 else None

    def of_weights(self, weights_sha256: str) -> list[Result]:
        """The results of a model and its exports."""
        return [result for result in self._log.results.values() if result.weights_sha256 == weights_sha256]

    def hypotheses(self, result: Result) -> list[str]:
        return (self._folder / result.hypotheses).read_bytes().decode().split("\n")[:-1]

    def write_hypotheses(self, name: str, lines: Sequence[str]) -> str:
        """Returns the file's SHA-256."""
        text = "".join(line.replace("\n", " ") + "\n" for line in lines)
        write_text(self._folder / name, text)
        return hashlib.sha256(text.encode()).hexdigest()

    def add(self, result: Result) -> None:
        self._log.add(result)
