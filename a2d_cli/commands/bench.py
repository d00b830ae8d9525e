"""`a2d bench`: what models cost to run, by engine and precision: speed per core, latency, memory and size.

Each measurement has a process of its own, in which nothing but the measured engine is loaded. A round goes over all
that is compared, so that whatever disturbs the machine disturbs all of it.
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import re
import signal
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from a2d_cli import __version__
from a2d_cli.commands.bench_report import (
    BenchReport,
    BenchRow,
    BenchSettings,
    Choice,
    Form,
    Machine,
    Observation,
)
from a2d_cli.commands.model_on_texts import check_pair
from a2d_cli.commands.opened_model import limit_threads, open_checkpoint
from a2d_cli.commands.preparation import prepared_recipe
from a2d_cli.commands.scored_text import ScoredText, find_texts
from a2d_cli.config.loader import parse_student
from a2d_cli.config.schema import Decoding, ModelShape, Recipe
from a2d_cli.cores import num_cores
from a2d_cli.data.corpus import evenly_spaced
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.ctranslate2_engine import CTranslate2Engine, load_ctranslate2
from a2d_cli.decoding.engine import Engine
from a2d_cli.decoding.speed import time_translation
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import temporary_folder
from a2d_cli.project.exported import ct2_exports_of, is_export, read_export
from a2d_cli.project.project import Project
from a2d_cli.project.run import CONFIG, WEIGHTS, find_model, list_runs
from a2d_cli.project.score_cache import describe_model
from a2d_cli.reporting import Reporter
from a2d_cli.training.memory import peak_memory_bytes

if TYPE_CHECKING:
    from a2d_cli.project.checkpoint import Checkpoint

ENGINES = {"torch": "torch", "ct2": "ctranslate2"}  # with their packages
PRECISIONS = ("float32", "int8")


@dataclass(frozen=True)
class Job:
    """What one process measures."""

    form: Form
    lines: list[str]
    decodings: tuple[Decoding, ...]
    threads: int
    length_ratio: float | None  # of outputs, where it is not the model that ends them


def read_shapes(text: str, recipe: Recipe) -> dict[str, ModelShape]:
    """Models of `--preset`, by what stands there.

    A preset, or layers as in 6-6 (encoder, decoder; else as `base`); KEY=VALUE changes the one before it.

    Raises:
        ConfigError: unknown preset or key, wrong value, dimensions that do not fit together.
    """
    names: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if "=" in part and names:
            names[-1] += f",{part}"
        else:
            names.append(part)
    shapes = {}
    for name in names:
        student = re.sub(r"^(\d+)-(\d+)(?=,|$)", r"base,encoder_layers=\1,decoder_layers=\2", name)
        shapes[name] = parse_student(student, recipe, "--preset")
    return shapes


def bench(
    project: Project, models: Sequence[str], presets: str | None, settings: BenchSettings, reporter: Reporter
) -> BenchReport:
    """Measure models on sentences of the project's first test set.

    Args:
        models: run names, run, checkpoint or export folders; none, and no presets: every finished run.
        presets: as `read_shapes`; models of random weights, with the project's vocabulary.

    Raises:
        ConfigError: nothing prepared or trained, no test set, an unknown model or preset.
        A2DError: a model of another language pair, or that the engines asked for cannot load; ctranslate2 is missing.
    """
    recipe = prepared_recipe(project)
    if "ct2" in settings.engines:
        load_ctranslate2()
    shapes = read_shapes(presets, recipe) if presets else {}
    folders = _find_folders(project, models, recipe.pair, reporter) if models or not shapes else []
    text = _read_test(project, recipe, settings.sentences)
    choices = tuple(Choice(beam, size) for beam in settings.beams for size in settings.batch_sizes)
    decodings = tuple(replace(recipe.decoding, nbest=1, **asdict(choice)) for choice in choices)
    load_before = os.getloadavg()[0]
    with temporary_folder("a2d-bench-") as place:
        workshop = _Workshop(project, place, settings)
        forms = [form for folder in folders for form in workshop.forms_of_folder(folder)]
        forms += [form for name, shape in shapes.items() for form in workshop.forms_of_shape(name, shape, recipe.pair)]
        ratio = _length_ratio(text, Tokenizer.load(project.data_dir)) if shapes else None
        jobs = [Job(form, text.src, decodings, settings.threads, ratio if form.is_random else None) for form in forms]
        rows = _measure(jobs, settings.rounds, reporter)
    packages = dict.fromkeys(ENGINES[form.engine] for form in forms)
    versions = {"a2d": __version__, **{package: version(package) for package in packages}}
    machine = Machine(_cpu_name(), num_cores(), load_before, os.getloadavg()[0], versions)
    return BenchReport(recipe.pair, text.name, len(text.src), settings, choices, rows, machine)


def _length_ratio(text: ScoredText, tokenizer: Tokenizer) -> float:
    """Tokens of a reference, end mark counted, for each of its source."""
    src, tgt = tokenizer.encode_src(text.src), tokenizer.encode_tgt(text.tgt)
    return (sum(map(len, tgt)) + len(tgt)) / sum(map(len, src))


def _read_test(project: Project, recipe: Recipe, wanted: int) -> ScoredText:
    """Sentences of the project's first test set, evenly chosen."""
    text = find_texts(project, recipe, None)[0]
    pairs = [pair for pair in zip(text.src, text.tgt, strict=True) if pair[0].strip()]
    if not pairs:
        raise A2DError(
            f"{project.text_path(text.name, recipe.src_lang)}: no sentence to translate",
            "name a test set in data.tests and run 'a2d prepare' again",
        )
    chosen = [pairs[i] for i in evenly_spaced(len(pairs), wanted)]
    return replace(text, src=[src for src, _ in chosen], tgt=[tgt for _, tgt in chosen])


def _find_folders(project: Project, names: Sequence[str], pair: str, reporter: Reporter) -> list[Path]:
    folders = [find_model(project, name) for name in dict.fromkeys(names)]
    if not names:
        for run in (run for run in list_runs(project, reporter) if run.is_finished):
            if (other := run.info.get("pair", pair)) == pair:
                folders.append(run.folder)
            else:
                reporter.warn(f"{run.name} is left out: it translates {other}")
    if not folders:
        raise ConfigError(
            f"{project.folder}: no finished run to measure",
            "train one, or measure sizes before training: --preset tiny,small,base",
        )
    for folder in folders:
        check_pair(read_export(folder).manifest if is_export(folder) else describe_model(folder.absolute()), pair)
    return folders


@dataclass(frozen=True)
class _Workshop:
    """Makes the forms that stand nowhere yet, in a temporary folder."""

    project: Project
    folder: Path
    settings: BenchSettings

    def forms_of_folder(self, folder: Path) -> list[Form]:
        """Of a run or checkpoint folder, or the one form that an export is."""
        if is_export(folder):
            return [self._form_of_export(folder)]
        from a2d_cli.project.checkpoint import load_checkpoint

        return self._forms(describe_model(folder.absolute()).name, load_checkpoint(folder), is_random=False)

    def forms_of_shape(self, name: str, shape: ModelShape, pair: str) -> list[Form]:
        """Of a model of random weights."""
        import torch

        from a2d_cli.model.transformer import Transformer, Vocabularies
        from a2d_cli.project.checkpoint import load_checkpoint, save_checkpoint, weights_of

        tokenizer = Tokenizer.load(self.project.data_dir)
        torch.manual_seed(1)
        model = Transformer(shape, Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size, tokenizer.joint))
        folder = self._new_folder()
        save_checkpoint(folder, model, weights_of(model), pair, tokenizer)
        tokenizer.save(folder)
        return self._forms(name, load_checkpoint(folder), is_random=True)

    def _forms(self, name: str, checkpoint: Checkpoint, is_random: bool) -> list[Form]:
        model, forms = checkpoint.model, []
        for engine in self.settings.engines:
            for precision in self.settings.precisions:
                if engine == "torch" and precision != "float32":
                    continue
                found = self._of_torch(checkpoint) if engine == "torch" else self._of_ct2(checkpoint, precision)
                max_tokens = model.shape.max_positions
                forms.append(Form(name, model.num_parameters, is_random, engine, precision, *found, max_tokens))
        if not forms:
            raise ConfigError(
                f"{name}: torch computes in float32 alone", "add float32 to --precision, or ct2 to --engine"
            )
        return forms

    def _of_torch(self, checkpoint: Checkpoint) -> tuple[Path, int]:
        """The folder and its bytes."""
        vocabulary = checkpoint.tokenizer.save(self._new_folder())
        files = [checkpoint.folder / WEIGHTS, checkpoint.folder / CONFIG, *vocabulary]
        return checkpoint.folder, _num_bytes(files)

    def _of_ct2(self, checkpoint: Checkpoint, precision: str) -> tuple[Path, int]:
        """An export of the project, else what such an export would hold."""
        from a2d_cli.export.ctranslate2 import write_ctranslate2

        for export in ct2_exports_of(self.project, checkpoint.weights_sha256):
            if export.manifest.quantization == precision:
                return export.folder, export.file_bytes
        folder = self._new_folder()
        files = write_ctranslate2(checkpoint.model, checkpoint.tokenizer, folder, precision)
        return folder, _num_bytes([*files, *checkpoint.tokenizer.save(folder)])

    def _form_of_export(self, folder: Path) -> Form:
        export = read_export(folder)
        manifest = export.manifest
        if manifest.to not in self.settings.engines:
            raise A2DError(
                f"{folder}: an export for {manifest.to}, which --engine {','.join(self.settings.engines)} cannot load",
                "name the run that it was made from",
            )
        return Form(
            model=folder.resolve().name,
            parameters=manifest.parameters,
            is_random=False,
            engine="ct2",
            precision=manifest.quantization,
            folder=folder.absolute(),
            file_bytes=export.file_bytes,
            max_tokens=manifest.shape["max_positions"],
        )

    def _new_folder(self) -> Path:
        return Path(tempfile.mkdtemp(dir=self.folder))


def _num_bytes(paths: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in paths)


def _measure(jobs: Sequence[Job], rounds: int, reporter: Reporter) -> tuple[BenchRow, ...]:
    observations: list[list[Observation]] = [[] for _ in jobs]
    with reporter.progress("measures", rounds * len(jobs), "processes") as progress:
        for _ in range(rounds):
            for job, found in zip(jobs, observations, strict=True):
                found.append(observe_in_a_process(job))
                progress.advance(1, f"{job.form.model}, {job.form.title}")
    return tuple(BenchRow(job.form, tuple(found)) for job, found in zip(jobs, observations, strict=True))


def observe_in_a_process(job: Job) -> Observation:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send_observation, args=(job, theirs), daemon=True)
    process.start()
    theirs.close()  # so that its end is noticed
    try:
        result = ours.recv()
    except EOFError:
        raise A2DError(
            f"{job.form.model}, {job.form.title}: the process that measured it was killed",
            "most often for want of memory: try a smaller --batch-size",
        ) from None
    process.join()
    if isinstance(result, Exception):
        raise result
    return result


def _send_observation(job: Job, pipe: Connection) -> None:
    """The life of a measuring process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends its parent, and that ends it
    try:
        pipe.send(_observe(job))
    except (A2DError, OSError, RuntimeError, MemoryError) as error:  # what the command line can put in words
        pipe.send(error)


def _observe(job: Job) -> Observation:
    """Measure in this process."""
    engine, tokenizer = _load(job.form, job.threads)
    passes = [time_translation(engine, tokenizer, decoding, job.lines, job.length_ratio) for decoding in job.decodings]
    return Observation(tuple(passes), peak_memory_bytes())


def _load(form: Form, threads: int) -> tuple[Engine, Tokenizer]:
    if form.engine == "ct2":  # without torch, as where the model is deployed
        tokenizer = Tokenizer.load(form.folder)
        return CTranslate2Engine(form.folder, tokenizer, form.max_tokens, threads=threads, device="cpu"), tokenizer
    limit_threads(threads)
    translator = open_checkpoint(form.folder, "cpu")
    return translator.engine, translator.tokenizer


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.exists() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
