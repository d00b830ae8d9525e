"""`a2d export`: a model in another program's format, proved to be the same, complete in one folder."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from a2d_cli import __version__
from a2d_cli.commands.alignment_head import find_alignment_head
from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.config.loader import read_project_recipe
from a2d_cli.config.schema import Decoding, Recipe
from a2d_cli.data.batching import SpecialIds
from a2d_cli.data.corpus import evenly_spaced
from a2d_cli.data.report import Report
from a2d_cli.decoding.ctranslate2_engine import CTranslate2Engine, load_ctranslate2
from a2d_cli.decoding.torch_engine import TorchEngine
from a2d_cli.decoding.translator import Translator
from a2d_cli.errors import ConfigError
from a2d_cli.export.ctranslate2 import QUANTIZATIONS, write_ctranslate2
from a2d_cli.export.huggingface import check_huggingface, write_huggingface
from a2d_cli.export.model_card import write_model_card
from a2d_cli.export.verification import Gate, check_exactness, gate_facts, measure_gate, require_passed
from a2d_cli.files import atomic_folder, sha256_file
from a2d_cli.project.checkpoint import Checkpoint, load_checkpoint
from a2d_cli.project.exported import MANIFEST, Exported, Manifest, is_export, read_export, write_manifest
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, export_name, find_checkpoint, find_model, find_teachers_of, teacher_digits
from a2d_cli.project.score_cache import ScoreCache
from a2d_cli.reporting import Reporter

EXACTNESS_SENTENCES = 64
GATE_SENTENCES = 1000
MANY_LOOPS = 0.1  # of these
FORMATS = ("ct2", "hf")


@dataclass(frozen=True)
class _Job:
    project: Project
    recipe: Recipe
    checkpoint: Checkpoint
    run: Run
    decoding: Decoding
    sources: list[str]  # validation text
    references: list[str]
    reporter: Reporter

    @property
    def original(self) -> Translator:
        engine = TorchEngine(self.checkpoint.model, SpecialIds.of(self.checkpoint.tokenizer))
        return Translator(engine, self.checkpoint.tokenizer, self.decoding)

    def some(self, count: int) -> tuple[list[str], list[str]]:
        """At most `count` validation pairs, evenly over the set."""
        chosen = evenly_spaced(len(self.sources), count)
        return [self.sources[i] for i in chosen], [self.references[i] for i in chosen]


@dataclass(frozen=True)
class _Written:
    """What the manifest tells of a folder's weights."""

    checks: dict[str, Any]  # how they were proved
    alignment_head: dict[str, Any] | None  # of `find_alignment_head`; None: the format has no place for one
    versions: dict[str, str]  # of the packages that took part


def export(
    project: Project,
    model: str | None,
    *,
    to: str = "ct2",
    quantization: str = "int8",
    output: Path | None = None,
    overwrite: bool = False,
    reporter: Reporter,
) -> Exported:
    """Write a run's best model as a folder that needs nothing else, proved on validation sentences.

    Args:
        model: run name, run folder or checkpoint folder; None: the best student by validation.
        quantization: of the weights of a ct2 export.
        output: None: exports/NAME-ct2-int8 of the project.

    Raises:
        ConfigError: an unknown or unfinished run, a folder that is not empty, nothing prepared to check with.
        A2DError: the gate refuses the quantised model, or the export is not the model.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to: '{to}' is none of {', '.join(FORMATS)}")
    if to == "hf" and quantization != "float32":
        raise ConfigError(f"--quantization {quantization} goes with --to ct2", "Hugging Face folders hold float32")
    if quantization not in QUANTIZATIONS:
        raise ConfigError(f"--quantization: '{quantization}' is none of {', '.join(QUANTIZATIONS)}")
    project.require_prepared()
    job = _open_job(project, find_model(project, model, reporter), reporter)
    suffix = to if to == "hf" else f"ct2-{quantization}"
    folder = output or project.exports_dir / f"{_name(job)}-{suffix}"
    _require_free(folder, overwrite)
    with project.lock("a2d export", shared=True), atomic_folder(folder) as new:
        written = _write_ct2(job, new, quantization) if to == "ct2" else _write_hf(job, new)
        files = {path.name: sha256_file(path) for path in sorted(new.iterdir())}
        manifest = _manifest(job, to, quantization, written, files)
        write_manifest(new, manifest)
        write_model_card(new, manifest, ScoreCache(project.scores_dir))
    return read_export(folder)


def _open_job(project: Project, folder: Path, reporter: Reporter) -> _Job:
    if is_export(folder):
        raise ConfigError(f"{folder} is an export itself", "name the run that it was made from")
    checkpoint_folder = find_checkpoint(folder)
    run = Run(checkpoint_folder.parent)
    if run.info and not run.is_finished:
        raise ConfigError(
            f"run '{run.name}' is still in training: what it has now is not what it will be",
            f"let it end ({run.info.get('command', 'the command that began it')})"
            + ("" if run.is_of_comparison else ", or end it now: the same with --max-hours 0.01"),
        )
    checkpoint = load_checkpoint(checkpoint_folder)
    recipe = prepared_recipe(project)
    if checkpoint.pair != recipe.pair:
        raise ConfigError(
            f"{folder} translates {checkpoint.pair}, the validation text of {project.folder} is {recipe.pair}",
            "name the project that it belongs to with -C DIR",
        )
    sources, references = (project.read_text("valid", lang) for lang in (recipe.src_lang, recipe.tgt_lang))
    decoding = replace(
        read_project_recipe(run.recipe_path).decoding if run.recipe_path.exists() else recipe.decoding, nbest=1
    )
    return _Job(project, recipe, checkpoint, run, decoding, sources, references, reporter)


def _name(job: _Job) -> str:
    return export_name(job.checkpoint.folder)


def _require_free(folder: Path, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", "name a new folder with --output")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise ConfigError(
            f"{folder} is not empty", "name a new folder with --output, or replace an export with --overwrite"
        )
    if not is_export(folder):
        raise ConfigError(
            f"{folder} is no export ({MANIFEST} is missing) and will not be replaced", "name a new folder with --output"
        )


def _write_ct2(job: _Job, folder: Path, quantization: str) -> _Written:
    load_ctranslate2()  # before minutes are spent
    head = find_alignment_head(job.project, job.checkpoint, job.reporter)
    model, tokenizer = job.checkpoint.model, job.checkpoint.tokenizer
    place = (head["layer"] - 1, head["head"] - 1)

    def open_engine(where: Path) -> Translator:
        engine = CTranslate2Engine(where, tokenizer, model.shape.max_positions, device="cpu")
        return Translator(engine, tokenizer, job.decoding)

    write_ctranslate2(model, tokenizer, folder, "float32", place)
    exact = open_engine(folder)
    exactness = check_exactness(exact, job.original, *job.some(EXACTNESS_SENTENCES))
    job.reporter.info(
        f"float32: log-probabilities of {exactness.sentences} validation sentences differ from torch's by at most "
        f"{exactness.max_difference_nats:.1e} nats; {exactness.greedy_equal:.1%} of the greedy translations are equal"
    )
    checks: dict[str, Any] = {"exactness": asdict(exactness)}
    if quantization != "float32":
        write_ctranslate2(model, tokenizer, folder, quantization, place)
        sources, references = job.some(GATE_SENTENCES)
        gate = measure_gate(open_engine(folder), exact, sources, references, job.recipe.tgt_lang)
        require_passed(gate, quantization)
        job.reporter.info(
            f"{quantization}: chrF2 {gate.chrf_float:.2f} -> {gate.chrf_quantised:.2f}, "
            f"BLEU {gate.bleu_float:.2f} -> {gate.bleu_quantised:.2f} on {gate.sentences} validation sentences, "
            f"{gate.equal:.1%} of the translations are equal"
        )
        checks["gate"] = gate_facts(gate)
        warn_of_loops(gate, job.reporter)
    tokenizer.save(folder)
    return _Written(checks, head, {"ctranslate2": version("ctranslate2"), "torch": version("torch")})


def warn_of_loops(gate: Gate, reporter: Reporter) -> None:
    """The gate holds a quantised model to its float one; how good that one is, it does not say."""
    if gate.loops_float > MANY_LOOPS * gate.sentences:
        reporter.warn(
            f"the model repeats itself in {gate.loops_float:,} of {gate.sentences:,} validation sentences in float32 "
            "already: it is not trained enough (a2d score)"
        )


def _write_hf(job: _Job, folder: Path) -> _Written:
    model, tokenizer = job.checkpoint.model, job.checkpoint.tokenizer
    write_huggingface(model, tokenizer, job.checkpoint.pair, folder, job.decoding)
    pairs = list(zip(*job.some(EXACTNESS_SENTENCES), strict=True))
    found = check_huggingface(folder, model, tokenizer, pairs)
    if found["checked"]:
        job.reporter.info(
            f"transformers loads it: log-probabilities of {found['lines']} validation sentences differ by at most "
            f"{found['max_log_prob_difference']:.1e} nats"
        )
    else:
        job.reporter.warn(f"not checked: {found['why']}")
    return _Written({"huggingface": found}, None, {"torch": version("torch")})


def _manifest(job: _Job, to: str, quantization: str, written: _Written, files: dict[str, str]) -> Manifest:
    info, config, head = job.run.info, job.checkpoint.config, written.alignment_head
    return Manifest(
        to=to,
        quantization=quantization,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        a2d=__version__,
        pair=job.checkpoint.pair,
        name=_name(job),
        kind=info.get("kind", ""),
        method=info.get("method", "") if info.get("kind") == "student" else "",
        seed=info.get("seed"),
        parameters=config["parameters"],
        weights_sha256=job.checkpoint.weights_sha256,
        tokenizer=job.checkpoint.tokenizer.fingerprint,
        shape=asdict(job.checkpoint.model.shape),
        decoding=asdict(job.decoding),
        data=_data(job),
        teacher=_teacher(job),
        checks=written.checks,
        files=files,
        alignment_head={key: value for key, value in head.items() if key != "weights_sha256"} if head else None,
        versions=written.versions,
    )


def _data(job: _Job) -> dict[str, Any]:
    """What the model was trained on, as its run knows it: the project may hold another text by now."""
    fingerprint = job.run.info.get("settings", {}).get("data")
    if not fingerprint or not job.run.recipe_path.exists():
        return {"recipe": None, "licence": None, "training_pairs": None, "fingerprint": None}
    recipe = read_project_recipe(job.run.recipe_path)
    is_here = fingerprint == job.project.state()["prepared"]["data_fingerprint"]
    texts = Report(job.project.report_path).sections.get("decontaminate", {}).get("texts", {}) if is_here else {}
    return {
        "recipe": recipe.name,
        "licence": recipe.data.licence,
        "training_pairs": texts.get("train", {}).get("num_pairs"),
        "fingerprint": fingerprint,
    }


def _teacher(job: _Job) -> dict[str, Any] | None:
    digits = teacher_digits(job.run.info)
    if not digits:
        return None
    names = [teacher.name for teacher in find_teachers_of(job.project, job.run)]
    return {"name": " + ".join(names) or None, "weights_sha256": digits}
