"""A run from its request to its best weights: what `train-teacher` and `distill` have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any

import torch

from a2d_cli import __version__
from a2d_cli.config.schema import ModelShape, Recipe, Training
from a2d_cli.config.writer import dump_recipe
from a2d_cli.data.batching import BatchPlan, BatchSettings
from a2d_cli.data.corpus import ParallelCorpus
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import ConfigError
from a2d_cli.files import lock_folder, write_text
from a2d_cli.model.transformer import Transformer, Vocabularies
from a2d_cli.project.checkpoint import weights_hash
from a2d_cli.project.project import Project
from a2d_cli.project.run import Run
from a2d_cli.reporting import LoggedReporter, Reporter
from a2d_cli.training.distributed import World, choose_device, process_group
from a2d_cli.training.objective import Objective
from a2d_cli.training.trainer import Trainer
from a2d_cli.training.validation import ValidationSettings, Validator

# Keys that a run may be resumed with at other values: they move its end or its machine, not its path.
SOFT_KEYS = frozenset(
    "max_updates max_epochs max_hours patience log_every_updates samples accumulate device compile max_rewinds".split()
)


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


MakeObjective = Callable[[Transformer, torch.device], Objective]


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
        ConfigError: a run of that name exists with other settings (names each key).
        A2DError: another process trains it; the device is absent; what the trainer raises.
    """
    device = choose_device(request.training.device)
    run = Run(project.runs_dir / request.name)
    with process_group(device) as world:
        if not world.is_main:
            reporter = Reporter()  # one voice
            world.from_main(None)
            return _train(project, recipe, request, run, make_objective, device, world, reporter)
        with project.lock(request.resume_command, shared=True), lock_folder(run.folder, request.resume_command):
            reporter = LoggedReporter(reporter, run.log_path)
            _open_run(project, recipe, request, run, overwrite)
            world.from_main(None)
            return _train(project, recipe, request, run, make_objective, device, world, reporter)


def _open_run(project: Project, recipe: Recipe, request: RunRequest, run: Run, overwrite: bool) -> None:
    """Make the folder, or check that what stands in it is this very run."""
    settings = _settings(project, recipe, request)
    if run.info and overwrite:
        for path in (run.state_path, run.metrics_path, run.info_path, *run.snapshots_dir.glob("*.safetensors")):
            path.unlink(missing_ok=True)
    if run.info:
        changes = _differences(run.info["settings"], settings)
        hard = [change for change in changes if change.split(":")[0].removeprefix("training.") not in SOFT_KEYS]
        if request.training.schedule == "inverse_sqrt_cooldown":
            hard += [change for change in changes if change.startswith("training.max_updates:")]
        if hard:
            raise ConfigError(
                f"run '{run.name}' exists with other settings: " + "; ".join(hard[:6]),
                f"choose another --name, or --overwrite to train '{run.name}' anew",
            )
        if changes:
            run.record(settings=settings, finished=False)
    else:
        run.record(
            name=run.name,
            kind=request.kind,
            method=request.method,
            seed=request.training.seed,
            pair=recipe.pair,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            a2d=__version__,
            torch=torch.__version__,
            command=request.resume_command,
            finished=False,
            settings=settings,
        )
    write_text(run.recipe_path, dump_recipe(recipe))
    Tokenizer.load(project.data_dir).save(run.folder)


def _settings(project: Project, recipe: Recipe, request: RunRequest) -> dict[str, Any]:
    prepared = project.state()["prepared"]
    return {
        "shape": asdict(request.shape),
        "training": asdict(request.training),
        "data": prepared["data_fingerprint"],
        "tokenizer": prepared["tokenizer_fingerprint"],
        "decoding": asdict(recipe.decoding),
        **request.facts,
    }


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """`section.key: old -> new` for each value that differs."""
    changes = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changes += _differences(before, after, f"{prefix}{key}.")
        elif before != after:
            changes.append(f"{prefix}{key}: {before} -> {after}")
    return changes


def _train(
    project: Project,
    recipe: Recipe,
    request: RunRequest,
    run: Run,
    make_objective: MakeObjective,
    device: torch.device,
    world: World,
    reporter: Reporter,
) -> Run:
    if run.is_finished:
        best = run.info.get("best", {})
        reporter.info(
            f"{run.name} is finished ({run.info['stop_reason']}; best at update {best.get('updates', ['?'])[-1]}); "
            "train on with a larger --set training.max_updates=N, or anew with --overwrite"
        )
        return run
    settings = request.training
    tokenizer = Tokenizer.load(project.data_dir)
    train = ParallelCorpus.open(project.data_dir, "train", recipe.src_lang, recipe.tgt_lang)
    valid = ParallelCorpus.open(project.data_dir, "valid", recipe.src_lang, recipe.tgt_lang)
    # The initial weights are a function of the seed and the shape alone, whatever the method.
    torch.manual_seed(settings.seed)
    model = Transformer(
        request.shape, Vocabularies(tokenizer.src_vocab_size, tokenizer.tgt_vocab_size, tokenizer.joint)
    )
    objective = make_objective(model, device)
    longest = min(settings.max_length, request.shape.max_positions)
    plan = BatchPlan(train, BatchSettings(settings.max_tokens, settings.max_sentences, longest), settings.seed)
    if world.is_main and not run.state_path.exists():
        run.record(parameters=model.num_parameters, initial_weights=weights_hash(model))
        reporter.info(
            f"{run.name}: {request.kind}, {request.method}, {model.num_parameters / 1e6:.1f} M parameters, "
            f"{len(train) - plan.num_left_out} pairs ({plan.num_left_out} over {longest} tokens left out), {device}"
        )
    sources, references = (
        project.text_path("valid", lang).read_text(encoding="utf-8").split("\n")[:-1]
        for lang in (recipe.src_lang, recipe.tgt_lang)
    )
    validator = Validator(
        valid,
        sources,
        references,
        tokenizer,
        replace(recipe.decoding, nbest=1),
        ValidationSettings(settings.decode_below_nll, settings.valid_sentences, settings.samples, settings.max_tokens),
    )
    trainer = Trainer(run, objective, plan, validator, tokenizer, settings, recipe.pair, device, world, reporter)
    state = trainer.train(resume_hint=request.resume_command)
    reporter.info(
        f"{run.name} finished: {state.stop_reason}; {state.update} updates in {state.elapsed_s / 60:.1f} min; "
        f"best weights in {run.best_dir}"
    )
    return run
