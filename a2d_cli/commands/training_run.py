"""A run from its request to its best weights: what `train-teacher` and `distill` have in common."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from a2d_cli import __version__
from a2d_cli.config.keys import SOFT_KEYS, differences, first_of
from a2d_cli.config.schema import ModelShape, Recipe, Training
from a2d_cli.config.writer import dump_recipe
from a2d_cli.data.batching import BatchPlan, BatchSettings, SpecialIds
from a2d_cli.data.corpus import ParallelCorpus
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.torch_engine import machine_of
from a2d_cli.distillation.pseudo_text import Encoding, TaughtText
from a2d_cli.errors import ConfigError, Interrupted
from a2d_cli.files import atomic_folder, lock_folder, remove_leftovers, write_json, write_text
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.checkpoint import weights_hash
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run, place_for
from a2d_cli.reporting import LoggedReporter, Reporter, count_text, duration_text
from a2d_cli.scoring import check_tokenizer
from a2d_cli.training.distributed import World, choose_device, process_group
from a2d_cli.training.memory import peak_memory_bytes
from a2d_cli.training.objective import Objective, RunContext
from a2d_cli.training.optimizer import learning_rate
from a2d_cli.training.trainer import Trainer, TrainingState
from a2d_cli.training.validation import Validator


@dataclass(frozen=True)
class RunRequest:
    """What is to be trained."""

    name: str
    kind: str  # teacher or student
    method: str
    shape: ModelShape
    training: Training
    facts: dict[str, Any]  # what else makes this run this run: the teacher's hash, the distillation settings
    resume_command: str
    length_matters: bool = False  # the objective, too, depends on `max_updates`
    pseudo: TaughtText | None = None  # what to learn from instead of the training text
    initialize: Callable[[Transformer], None] | None = (
        None  # what a new run does to its weights before the first update
    )

    @property
    def soft_keys(self) -> frozenset[str]:
        """Keys that this run can be resumed with at other values."""
        cools_down = self.training.schedule == "inverse_sqrt_cooldown"
        return SOFT_KEYS - ({"training.max_updates"} if cools_down or self.length_matters else set())

    @property
    def title(self) -> str:
        """`teacher`, `student a2d-simplex`, `student mine (word)`."""
        title = self.name if self.name == self.kind else f"{self.kind} {self.name}"
        return title if self.kind == "teacher" or self.name.startswith(self.method) else f"{title} ({self.method})"


COOLED_DOWN = 0.1  # of its peak: more than a learning rate has left that has done its cool-down
# What run.json says of a teacher's text -> the recipe's key, where that is called otherwise.
TEXT_KEYS = {
    "pseudo.choice": "distillation.pseudo",
    "pseudo.with_references": "distillation.pseudo_references",
    "pseudo.nbest": "distillation.pseudo_nbest",
    "pseudo.quantization": "distillation.pseudo_quantization",
    "pseudo.decoding.beam": "distillation.pseudo_beam",
}

MakeObjective = Callable[[Transformer, RunContext], Objective]


def train_run(
    project: Project,
    recipe: Recipe,
    request: RunRequest,
    make_objective: MakeObjective,
    reporter: Reporter,
    overwrite: bool = False,
) -> Run:
    """Train, or go on, or find it finished.

    Raises:
        ConfigError: the name is none, or a run of that name was imported, is of another kind or has other
            settings (names each key).
        A2DError: another process trains it; the device is absent; BLEU's tokenizer is; what the trainer raises.
    """
    if request.training.decode_below_nll > 0:
        # A tokenizer of this language that is not installed is said now, not at the first validation.
        check_tokenizer(recipe.tgt_lang)
    device = choose_device(request.training.device)
    run = place_for(project, request.name, request.kind, overwrite)
    work = _Work(project, recipe, request, run)
    with process_group(device) as world, contextlib.ExitStack() as locks:

        def open_run() -> None:
            locks.enter_context(project.lock(request.resume_command, shared=True))
            locks.enter_context(lock_folder(run.folder, request.resume_command))
            work.open_run(reporter, overwrite)

        world.on_main(open_run)
        reporter = LoggedReporter(reporter, run.log_path) if world.is_main else Reporter()  # one voice
        try:
            work.train(make_objective, device, world, reporter)
        except Interrupted as stop:
            if world.is_main:
                raise
            raise SystemExit(128 + stop.signal_number) from None
    return run


def warn_of_long_warmup(section: str, training: Training, lengths: Sequence[int], reporter: Reporter) -> None:
    """Of runs that end before their learning rate has reached its peak.

    Args:
        section: of the recipe.
        lengths: of the runs, in updates.
    """
    warmup = training.warmup_updates
    short = [f"{updates:,}" for updates in sorted(set(lengths)) if updates < warmup]
    if short:
        reporter.warn(
            f"{section}.warmup_updates is {warmup:,}, and a run of {' or '.join(short)} updates ends before its "
            f"learning rate has reached its peak; --set {section}.warmup_updates={warmup_of(min(lengths))}"
        )


def warmup_of(num_updates: int) -> int:
    """What suits a run of that length."""
    return max(1, num_updates // 10)


@dataclass(frozen=True)
class _Work:
    """A request, and all that it is carried out with."""

    project: Project
    recipe: Recipe
    request: RunRequest
    run: Run

    @property
    def _languages(self) -> tuple[str, str]:
        return self.recipe.src_lang, self.recipe.tgt_lang

    @functools.cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.load(self.project.data_dir)

    def open_run(self, reporter: Reporter, overwrite: bool) -> None:
        """Make the folder, or check that what stands in it is this very run.

        What the request asks for is read before anything is replaced or recorded: one that cannot be trained leaves the
        folder as it was.
        """
        run, request, settings = self.run, self.request, self._settings()
        remove_leftovers(run.folder)
        info = {} if overwrite else run.info
        if info:
            if "imported_from" in info:
                raise ConfigError(
                    f"run '{run.name}' was imported, and is trained already",
                    f"choose another --name, or --overwrite to train a new '{run.name}' in its place",
                )
            asked = {"method": request.method, **settings}
            found = {"method": info.get("method"), **info.get("settings", {})}
            changes = differences(found, asked)
            hard = {key: values for key, values in changes.items() if key not in request.soft_keys}
            if hard:
                # The method decides which settings there are: it comes first, what one of the two has not comes last.
                order = sorted(hard, key=lambda key: (key != "method", "None" in hard[key].split(" -> ")))
                told = first_of([f"{TEXT_KEYS.get(key, key)}: {hard[key]}" for key in order])
                begun_by = f"; it was begun by: {info['command']}" if "command" in info else ""
                raise ConfigError(
                    f"run '{run.name}' exists with other settings: {told}",
                    f"choose another --name, or --overwrite to train '{run.name}' anew{begun_by}",
                )
            if changes:
                run.record(settings=settings, command=request.resume_command, finished=False)
        with contextlib.ExitStack() as begun:
            text_dir = self._text_dir
            if request.pseudo and not (info and any(text_dir.glob("*.ids.json"))):
                text_dir = begun.enter_context(atomic_folder(text_dir))
                self._encode_pseudo(request.pseudo, text_dir, reporter)
            if not info:
                self._batch_plan(text_dir)
            if overwrite:
                run.clear()
        if not info:
            run.record(
                name=run.name,
                kind=request.kind,
                method=request.method,
                seed=request.training.seed,
                pair=self.recipe.pair,
                created=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                a2d=__version__,
                torch=torch.__version__,
                command=request.resume_command,
                finished=False,
                settings=settings,
            )
        write_text(run.recipe_path, dump_recipe(self.recipe))
        self._tokenizer.save(run.folder)

    def _settings(self) -> dict[str, Any]:
        prepared, request = self.project.state()["prepared"], self.request
        return {
            "shape": asdict(request.shape),
            "training": asdict(request.training),
            "data": prepared["data_fingerprint"],
            "tokenizer": prepared["tokenizer_fingerprint"],
            "decoding": asdict(self.recipe.decoding),
            **request.facts,
        }

    def train(self, make_objective: MakeObjective, device: torch.device, world: World, reporter: Reporter) -> None:
        run, request = self.run, self.request
        if run.is_finished:
            _tell_finished(run, request, reporter)
            return
        settings = request.training
        section = "training" if request.kind == "teacher" else "student_training"
        warn_of_long_warmup(section, settings, [settings.max_updates], reporter)
        tokenizer, plan = self._tokenizer, self._batch_plan(self._text_dir)
        # The initial weights are a function of seed and shape alone, whatever the method, unless it copies layers.
        torch.manual_seed(settings.seed)
        model = Transformer(
            request.shape, Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size, tokenizer.joint)
        )
        is_new = not run.state_path.exists()
        if is_new and run.saved_update and world.is_main:
            reporter.warn(f"{run.state_path} is gone: {run.name} begins anew, not at update {run.saved_update}")
        if is_new and request.initialize:
            request.initialize(model)
        if is_new and world.is_main:
            run.record(
                parameters=model.num_parameters, initial_weights=weights_hash(model), text=plan.corpus.fingerprint
            )
            reporter.info(
                f"training {request.title}: {model.num_parameters / 1e6:.1f} M parameters, "
                f"{count_text(len(plan.corpus) - plan.num_left_out, 'pair')} "
                f"({plan.num_left_out:,} over {plan.settings.max_length} tokens left out), on {device}"
            )
        context = RunContext(plan, device, world, reporter, request.resume_command)
        objective = make_objective(model, context)
        validator = self._make_validator()
        trainer = Trainer(run, objective, context, validator, tokenizer, settings, self.recipe.pair)
        state = trainer.train()
        if world.is_main:
            precision = str(trainer.precision).removeprefix("torch.")
            peaks = {name: max(peak, run.info.get(name) or 0) for name, peak in _peak_memory(device).items()}
            run.record(machine=world.machine_text(machine_of(device)), precision=precision, **peaks)
        self._warn_of_early_end(state, section, reporter)
        reporter.info(
            f"{run.name} finished: {state.stop_reason}; "
            f"{count_text(state.update, 'update')} in {duration_text(state.elapsed_s)}; best weights in {run.best_dir}"
        )

    def _warn_of_early_end(self, state: TrainingState, section: str, reporter: Reporter) -> None:
        """Of a learning rate that was to cool down, and had not when the run was over."""
        settings, name = self.request.training, self.run.name
        if "max_updates" in state.stop_reason or settings.schedule != "inverse_sqrt_cooldown":
            return
        left = learning_rate(max(state.update, 1), settings) / settings.lr
        shorter = f"--overwrite --set {section}.max_updates={state.update}"
        if state.update < settings.warmup_updates:
            reporter.warn(
                f"{name} ended in its warm-up, at update {state.update} of {settings.warmup_updates}: it has hardly "
                f"been trained; give it more time, or {shorter} "
                f"--set {section}.warmup_updates={warmup_of(state.update)}"
            )
        elif left > COOLED_DOWN:
            reporter.warn(
                f"{name} ended before its learning rate had cooled down ({left:.0%} of the peak were left), which "
                f"costs quality: {shorter} ends as early, cooled down"
            )

    @property
    def _text_dir(self) -> Path:
        """Where the ids lie that the run is trained on."""
        return self.run.folder / "pseudo" if self.request.pseudo else self.project.data_dir

    def _batch_plan(self, text_dir: Path) -> BatchPlan:
        """Raises A2DError: no pair of the text is short enough."""
        text = ParallelCorpus.open(text_dir, "train", *self._languages)
        settings = self.request.training
        longest = min(settings.max_length, self.request.shape.max_positions)
        batches = BatchSettings(settings.max_tokens, settings.max_sentences, longest)
        return BatchPlan(text, SpecialIds.of(self._tokenizer), batches, settings.seed)

    def _encode_pseudo(self, pseudo: TaughtText, folder: Path, reporter: Reporter) -> None:
        held_out = {
            name: list(zip(*(self.project.read_text(name, lang) for lang in self._languages), strict=True))
            for name in ("valid", *self.project.state()["prepared"]["tests"])
        }
        encoding = Encoding(folder, self._languages, held_out, self._tokenizer)
        write_json(folder / "report.json", pseudo.encode(encoding, reporter))

    def _make_validator(self) -> Validator:
        sources, references = (self.project.read_text("valid", lang) for lang in self._languages)
        return Validator(
            ParallelCorpus.open(self.project.data_dir, "valid", *self._languages),
            sources,
            references,
            self._tokenizer,
            replace(self.recipe.decoding, nbest=1),
            self.request.training,
            self.request.shape.max_positions,
            self.recipe.tgt_lang,
        )


def _tell_finished(run: Run, request: RunRequest, reporter: Reporter) -> None:
    best = run.info.get("best", {})
    fixed = run.info["updates"] >= request.training.max_updates and "training.max_updates" not in request.soft_keys
    reporter.info(
        f"{run.name} is finished ({run.info['stop_reason']}; best at update {(best.get('updates') or ['?'])[-1]}); "
        + ("" if fixed else "raise that limit with --set to train on, or ")
        + "train anew with --overwrite, or under another --name"
    )


def _peak_memory(device: torch.device) -> dict[str, int]:
    """Of this process."""
    peak = {"peak_memory_bytes": peak_memory_bytes()}
    return peak | {"peak_gpu_memory_bytes": torch.cuda.max_memory_allocated(device)} if device.type == "cuda" else peak
