"""The one training loop: every model runs through it, whatever its objective.

    while no reason to stop:
        batch      <- plan(seed, epoch)                    a function of two integers
        randomness <- (seed, update, rank)                 so a resumed run is the uninterrupted one
        gradient   =  Σ over ranks and pieces of d(sum over target tokens)  /  target tokens of the whole update
        step; every so often save, then validate

On a GPU the host only launches: what an update did is read while the next one runs, and sooner where it is needed (a
log line, a save, a validation). The next batch is read and padded meanwhile, so nothing else need fetch it ahead.
So `Diverged` is raised by whatever reads (`update`, a log line, `_save`, `_validate`), perhaps for the update before;
nothing is saved or judged before all is read; `max_hours` is looked at only where all has just been read.
"""

from __future__ import annotations

import contextlib
import io
import math
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from a2d_cli.config.schema import Training
from a2d_cli.data.batching import Batch, share
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.errors import A2DError, Interrupted
from a2d_cli.files import atomic_path, check_format
from a2d_cli.project.checkpoint import (
    load_weights,
    mean_weights,
    read_whole,
    save_checkpoint,
    save_weights,
    weights_of,
)
from a2d_cli.project.run import Run
from a2d_cli.reporting import Progress, count_text
from a2d_cli.training.distributed import choose_precision
from a2d_cli.training.event_files import EventFiles
from a2d_cli.training.interruption import Interruption
from a2d_cli.training.loss_watch import Diverged, LossWatch
from a2d_cli.training.memory import explained_out_of_memory, is_out_of_memory, keep_freed_memory
from a2d_cli.training.objective import LossTerms, Objective, RunContext, TrainingStep
from a2d_cli.training.optimizer import learning_rate, make_adam
from a2d_cli.training.update_sums import LaunchedUpdate, LogWindow
from a2d_cli.training.validation import ValidationResult, Validator

T = TypeVar("T")

STATE_FORMAT = 1
MAX_PIECES = 64  # an update cut finer than this does not fit the machine at all
UPDATES_BEHIND = {"cpu": 0, "cuda": 1}  # how far the reading of numbers stays behind their computation


@dataclass
class TrainingState:
    """Everything but weights and optimizer that a resumed run needs."""

    update: int = 0  # finished updates
    epoch: int = 1
    batch: int = 0  # batches of this epoch already used
    validated_update: int = 0
    best_rank: tuple[float, float] = (-math.inf, -math.inf)
    bad_validations: int = 0
    snapshots: list[int] = field(default_factory=list)  # updates of the weights kept for averaging
    pieces_found: int = 1  # that an update must be cut into, by running out of memory
    lr_factor: float = 1.0  # halved by each rewind
    rewinds: int = 0
    loss_watch: LossWatch = field(default_factory=LossWatch)
    elapsed_s: float = 0.0
    num_tokens: int = 0  # target tokens seen
    stop_reason: str = ""
    log: LogWindow = field(default_factory=LogWindow)  # kept, so that a resumed run writes the same lines


class Trainer:
    """Trains `objective.model` and the objective's helper modules into a run folder.

    Args:
        run: an existing folder; a training state in it is resumed.
        objective: what is minimised.
        context: the batches, the device, the other ranks, and where news go.
        validator: judges the model on held-out text.
        pair: e.g. en-de, for the checkpoint's config.
    """

    def __init__(
        self,
        run: Run,
        objective: Objective,
        context: RunContext,
        validator: Validator,
        tokenizer: Tokenizer,
        settings: Training,
        pair: str,
    ):
        self.run, self.validator, self.tokenizer, self.settings, self.pair = run, validator, tokenizer, settings, pair
        self.plan, self.device, self.world = context.plan, context.device, context.world
        self.reporter, self.resume_hint = context.reporter, context.resume_hint
        device = context.device
        self.objective = objective.to(device)
        self.model = objective.model
        if settings.compile:
            self.model.compile(dynamic=True)
        self.parameters = [p for p in objective.parameters() if p.requires_grad]
        self.optimizer = make_adam(self.parameters, settings)
        self.precision = choose_precision(settings.precision, device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision is torch.float16)
        self.state = TrainingState()
        self.parallel: nn.Module = objective
        if self.world.size > 1:
            devices = [device] if device.type == "cuda" else None
            self.parallel = DistributedDataParallel(objective, device_ids=devices, gradient_as_bucket_view=True)
        self._batches: list[Any] = []
        self._batches_epoch = 0
        self._launched: deque[LaunchedUpdate] = deque()  # whose numbers are not read yet
        self._told_to_stop = False
        self._started_s = 0.0
        self._saved_update = -1
        self._interruption = Interruption()
        self._events = EventFiles()

    # --- the loop -----------------------------------------------------------------------------------------------

    def train(self) -> TrainingState:
        """Train until a reason to stop; interrupts finish the update and save.

        Raises:
            Interrupted: SIGINT, SIGTERM or SIGHUP came; the state is saved.
            A2DError: out of memory at the smallest piece, or diverged too often.
        """
        keep_freed_memory()
        try:
            with self._interruption.noted():
                self._resume()
                folder = self.run.folder / "tensorboard"
                events = (
                    self._events.open(folder, self.state.update) if self.world.is_main else contextlib.nullcontext()
                )
                with events, self.reporter.progress("training", self.settings.max_updates, "updates") as bar:
                    self._loop(bar)
                self.world.on_main(self._finish)
        except KeyboardInterrupt:
            raise self._interrupted() from None
        return self.state

    def _interrupted(self) -> Interrupted:
        if self._saved_update >= 0:
            self.reporter.info(f"{self.run.name} is saved at update {self._saved_update}")
        return Interrupted(self._interruption.number or signal.SIGTERM, self.resume_hint)

    def _loop(self, bar: Progress) -> None:
        self._started_s = time.monotonic() - self.state.elapsed_s
        bar.advance(self.state.update)
        while True:
            before, news = self.state.update, ""
            try:
                self._read_clock()
                reason = self._stop_reason()
                if self._validation_is_due(bool(reason)):
                    self._validate()
                    reason = self._stop_reason()  # that may have been the last in vain
                if reason:
                    self.state.stop_reason = reason
                    return
                self.update()
                news = self._log_if_due()
                if self._told_to_stop or self.state.update % self.settings.save_every_updates == 0:
                    self._save()
            except Diverged as error:
                self._rewind(error)
            bar.advance(self.state.update - before, news)
            if self._told_to_stop:
                raise self._interrupted()

    def _read_clock(self) -> None:
        self.state.elapsed_s = time.monotonic() - self._started_s

    def _stop_reason(self) -> str:
        state, settings = self.state, self.settings
        if state.update >= settings.max_updates:
            return f"reached max_updates = {settings.max_updates}"
        if settings.max_epochs and state.epoch > settings.max_epochs:
            return f"reached max_epochs = {settings.max_epochs}"
        if settings.patience and state.bad_validations >= settings.patience:
            return f"no better {settings.best_metric} in {state.bad_validations} validations"
        # Ranks that agree wait for their devices: only where nothing is under way.
        out_of_time = settings.max_hours > 0 and state.elapsed_s >= settings.max_hours * 3600
        if settings.max_hours and state.update and not self._launched and self.world.any_rank(out_of_time, self.device):
            return f"reached max_hours = {settings.max_hours}"
        return ""

    def update(self) -> None:
        """One optimizer step and its bookkeeping; on a GPU, that of the update before.

        Raises:
            Diverged: the loss has left the path.
            A2DError: out of memory at the smallest piece.
        """
        indices = self._next_batch()
        step = TrainingStep(self.state.epoch, self.state.update + 1)
        with explained_out_of_memory(
            f"on {self.device} before update {step.update}, at what this method measures of its first sentences",
            "train anew with a smaller model or training.max_length, "
            "or measure nothing: --set distillation.gradient_share=0",
        ):
            self.objective.before_update(lambda count: self.plan.load(indices[:count], whole=indices), step)
        parts = self._within_memory(lambda: self._backward(indices, step), len(indices))
        with explained_out_of_memory(
            f"on {self.device} in the step of update {step.update}, beside which Adam keeps two numbers a parameter",
            "train anew with a smaller model",
        ):
            launched = self._step(parts, self.plan.num_tgt_tokens(indices), step)
        self._launched.append(launched)
        state = self.state
        state.update += 1
        state.batch += 1
        state.num_tokens += launched.num_tokens
        if state.batch >= len(self._batches):
            state.epoch, state.batch = state.epoch + 1, 0
        self._catch_up(UPDATES_BEHIND[self.device.type])

    def _catch_up(self, behind: int = 0) -> None:
        """Book what updates did, all but the last `behind`.

        Raises:
            Diverged: the loss has left the path.
        """
        while len(self._launched) > behind:
            sums = self._launched.popleft().sums()
            self._told_to_stop |= sums.told_to_stop
            self.state.log.add(sums)
            self.state.loss_watch.see(sums, overflow_is_normal=self.scaler.is_enabled())

    def _backward(self, indices: Any, step: TrainingStep) -> dict[str, Tensor]:
        """Leave the gradient of the whole update's mean loss in the parameters; return this rank's loss sums by name.

        It may be repeated. Nothing here, nor in the step, waits for a GPU.
        """
        torch.manual_seed(_seed_of(self.settings.seed, step.update, self.world.rank))
        self.optimizer.zero_grad(set_to_none=True)
        self.objective.train()
        parts: dict[str, Tensor] = {}
        tokens = self.plan.num_tgt_tokens(indices)
        num_ranks, pieces = self.world.size, self._pieces
        num_rounds = min(pieces, math.ceil(len(indices) / num_ranks))  # in the others there is nothing left to share
        for piece in range(num_rounds):
            mine = share(indices, piece * num_ranks + self.world.rank, num_ranks * pieces)
            # Every rank must take part in every round: one without a share takes a pair at weight 0.
            weight = 1.0 if len(mine) else 0.0
            batch = self._load(mine if len(mine) else indices[:1])
            last = piece == num_rounds - 1
            hold = contextlib.nullcontext() if last or num_ranks == 1 else self.parallel.no_sync()
            with hold:
                with torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32):
                    terms: LossTerms = self.parallel(batch, step)
                # The one division, before the backward pass: the gradient of a sum over an update overflows fp16.
                # What DistributedDataParallel averages over ranks is a sum here.
                self.scaler.scale(terms.total * (weight * num_ranks / tokens)).backward()
            for name, value in terms.parts.items():
                parts[name] = parts.get(name, 0.0) + value.float() * weight
        return parts

    def _step(self, parts: dict[str, Tensor], tokens: int, step: TrainingStep) -> LaunchedUpdate:
        """Clip the gradient and take the step; the update's loss sums, over all ranks, are on their way."""
        self.scaler.unscale_(self.optimizer)
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.settings.clip_norm:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.settings.clip_norm, norm)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(step.update, self.settings) * self.state.lr_factor
        # fp16: skips the step where a gradient overflowed. Otherwise such a step spoils the weights: it is found before
        # they are saved or judged, and the run goes back to its last save.
        self.scaler.step(self.optimizer)
        self.scaler.update()
        names = sorted(parts)
        told_to_stop = torch.full((), float(bool(self._interruption.number)), device=self.device)
        *sums, told_to_stop = self.world.sum(torch.stack([*(parts[name] for name in names), told_to_stop])).unbind()
        return LaunchedUpdate(step.update, dict(zip(names, sums, strict=True)), tokens, norm, told_to_stop)

    def _next_batch(self) -> Any:
        if self._batches_epoch != self.state.epoch:
            self._batches, self._batches_epoch = self.plan.epoch(self.state.epoch), self.state.epoch
        return self._batches[self.state.batch]

    @property
    def _pieces(self) -> int:
        """Of an update: asked for now, or found necessary before."""
        return max(self.settings.accumulate, self.state.pieces_found)

    def _load(self, indices: Any) -> Batch:
        return self.plan.load(indices).to(self.device)

    def _within_memory(self, work: Callable[[], T], num_pairs: int) -> T:
        """Do `work`, and again with updates cut finer as long as memory does not suffice."""
        while True:
            try:
                return work()
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside the handler: the error's traceback would keep the tensors of the failed step alive.
            self._cut_finer(num_pairs)

    def _cut_finer(self, num_pairs: int) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        pieces = self._pieces * 2
        told = (
            f"out of memory on {self.device} at update {self.state.update + 1} "
            f"({count_text(num_pairs, 'pair')} in {count_text(self._pieces, 'piece')})"
        )
        if not self.objective.can_be_cut:
            raise A2DError(
                f"{told}; this method cannot cut them finer",
                "train anew with a smaller training.max_tokens or a smaller model",
            )
        if self.world.size > 1 or pieces > MAX_PIECES or pieces > num_pairs:
            raise A2DError(
                told,
                "cut updates finer (--set training.accumulate=N, same result but for the dropout drawn): the "
                "same command then goes on from the last save; or train anew with a smaller training.max_tokens or a "
                "smaller model",
            )
        self.state.pieces_found = pieces
        self.reporter.warn(
            f"out of memory: batches are now cut into {pieces} pieces "
            "(same result but for the dropout drawn); recorded in run.json"
        )
        self.run.record(accumulate_after_out_of_memory=pieces)

    # --- divergence ---------------------------------------------------------------------------------------------

    def _rewind(self, found: Diverged) -> None:
        """Back to the last state saved while all was well, at half the learning rate."""
        rewinds, factor = self.state.rewinds + 1, self.state.lr_factor / 2
        if rewinds > self.settings.max_rewinds:
            raise A2DError(
                f"training diverged at update {found.update} ({found}) after {rewinds - 1} rewinds",
                "train anew (--overwrite, or another --name) with a lower training.lr, a longer "
                "training.warmup_updates or a training.clip_norm; the best weights so far are kept",
            )
        self._launched.clear()
        best_rank = self.state.best_rank  # of what lies in best/, perhaps since that state was saved
        self.world.on_main(self.run.restore_healthy_state)
        self._load_state()
        self.state.best_rank = max(best_rank, self.state.best_rank)
        self.state.rewinds, self.state.lr_factor = rewinds, factor
        self.reporter.warn(
            f"diverged at update {found.update} ({found}): "
            f"back to update {self.state.update} at {factor:g} of the learning rate"
        )
        self._save()
        if self.world.is_main:
            self.run.drop_metrics_after(self.state.update, self.state.validated_update)
            self.run.record(rewinds=rewinds, lr_factor=factor)

    # --- saving and resuming ------------------------------------------------------------------------------------

    def _save(self) -> None:
        """The state in one file, whole or not at all; then the readable copy in last/.

        Raises:
            Diverged: the last updates have left the path, and are not saved.
        """
        self._catch_up()
        if not self.world.is_main:
            self._saved_update = self.state.update
            return
        if not self.state.loss_watch.is_healthy:
            self.run.keep_healthy_state()
        buffer = io.BytesIO()  # torch.save to a file hides a full disk behind an internal error
        torch.save(
            {
                "format": STATE_FORMAT,
                "state": asdict(self.state),
                "objective": dict(self.objective.named_parameters()),
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler.state_dict(),
                "extra": self.objective.extra_state(),
            },
            buffer,
        )
        # The view is let go before its buffer is, also where the disk is full.
        with atomic_path(self.run.state_path) as temporary, buffer.getbuffer() as view:
            temporary.write_bytes(view)
        if self.state.loss_watch.is_healthy:
            self.run.drop_healthy_state()
        self._saved_update = self.state.update
        self._write_last()

    def _write_last(self) -> None:
        save_checkpoint(
            self.run.last_dir, self.model, weights_of(self.model), self.pair, self.tokenizer, update=self.state.update
        )
        for name, module in self.objective.helper_modules().items():
            save_weights(self.run.folder / f"{name}.safetensors", weights_of(module))

    def _load_state(self) -> None:
        path = self.run.state_path
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
            check_format(path, saved["format"], STATE_FORMAT)
            values = saved["state"]
            values["best_rank"] = tuple(values["best_rank"])
            values["log"] = LogWindow(**values["log"])
            values["loss_watch"] = LossWatch(**values["loss_watch"])
            self.state = TrainingState(**values)
            load_weights(self.objective, saved["objective"], str(path))
            self.optimizer.load_state_dict(saved["optimizer"])
            if saved["scaler"]:  # a run that was begun in another precision has none
                self.scaler.load_state_dict(saved["scaler"])
            self.objective.load_extra_state(saved["extra"])
        except A2DError:
            raise
        except Exception as error:  # torch.load raises whatever its parsers meet in a broken file
            raise A2DError(
                f"{path}: cut short or not a training state of a2d ({type(error).__name__})",
                f"begin the run anew with --overwrite, or take its weights from {self.run.last_dir}",
            ) from error
        self._saved_update = self.state.update

    def _resume(self) -> None:
        found = self.world.on_main(self.run.state_path.exists)
        if found:
            self._load_state()
            self.reporter.info(f"resuming {self.run.name} at update {self.state.update}")
        if self.world.is_main:
            self.run.drop_metrics_after(self.state.update, self.state.validated_update)
        if found and self.world.is_main:
            self._write_last()
        elif not found:
            self._save()  # so that a run which diverges at once has a state to return to

    # --- validation ---------------------------------------------------------------------------------------------

    def _validation_is_due(self, at_end: bool) -> bool:
        """At each interval, and once at the end."""
        state = self.state
        if state.update == 0 or state.validated_update == state.update:
            return False
        return at_end or state.update % self.settings.validate_every_updates == 0

    def _validate(self) -> None:
        """Save, judge the weights, book the best, keep a snapshot for the average."""
        state = self.state
        if self._saved_update != state.update:
            self._save()
        began_s = time.monotonic()
        result = self.world.on_main(lambda: self.validator(self.model, self.device))
        state.log.begun_s += time.monotonic() - began_s  # the log's speeds are those of training
        state.validated_update = state.update
        rank = result.rank(self.settings.best_metric)
        is_best = rank > state.best_rank
        state.bad_validations = 0 if is_best else state.bad_validations + 1
        self._report(result, is_best)
        if is_best:
            state.best_rank = rank
            if self.world.is_main:
                self._write_best(weights_of(self.model), result, updates=[state.update])
        if self.settings.average_last > 1 and self.state.loss_watch.is_healthy:
            self._keep_snapshot()
        self._save()

    def _keep_snapshot(self) -> None:
        state = self.state
        state.snapshots = [*state.snapshots, state.update][-self.settings.average_last :]
        if self.world.is_main:
            save_weights(self._snapshot_path(state.update), weights_of(self.model))
            for path in self.run.snapshots_dir.glob("*.safetensors"):
                if path.name not in {self._snapshot_path(update).name for update in state.snapshots}:
                    path.unlink()

    def _snapshot_path(self, update: int) -> Path:
        return self.run.snapshots_dir / f"{update}.safetensors"

    def _report(self, result: ValidationResult, is_best: bool) -> None:
        if not self.world.is_main:
            return
        row = {
            "event": "valid",
            "update": self.state.update,
            "epoch": self.state.epoch,
            "loss": result.loss,
            "ppl": result.perplexity,
            "bleu": result.bleu,
            "chrf": result.chrf,
            "best": is_best,
            "elapsed_s": round(self.state.elapsed_s, 1),
        }
        self.run.append_metrics(row)
        self._events.add("valid", {name: row[name] for name in ("loss", "bleu", "chrf")}, self.state.update)
        self.reporter.info(f"valid  update {self.state.update}  {result.summary()}{'  (best)' if is_best else ''}")
        for sample in result.samples:
            self.reporter.info(f"    src {sample.source}\n    ref {sample.reference}\n    hyp {sample.translation}")

    def _write_best(self, weights: dict[str, Tensor], result: ValidationResult, updates: list[int]) -> None:
        scores = {"loss": result.loss, "bleu": result.bleu, "chrf": result.chrf}
        save_checkpoint(
            self.run.best_dir, self.model, weights, self.pair, self.tokenizer, updates=updates, validation=scores
        )
        self.run.record(best={"updates": updates, **scores})

    def _finish(self) -> None:
        """On rank 0: the average of the last snapshots becomes best/ where it is better; the run is closed."""
        state = self.state
        found = read_whole(map(self._snapshot_path, state.snapshots))
        if len(found) < len(state.snapshots):
            lost = len(state.snapshots) - len(found)
            self.reporter.warn(f"{self.run.snapshots_dir}: {lost} of the weights are gone or damaged")
        if len(found) > 1:
            current = {name: each.clone() for name, each in weights_of(self.model).items()}  # the model is overwritten
            average = mean_weights(list(found.values()))
            load_weights(self.model, average, "average")
            result = self.validator(self.model, self.device)
            load_weights(self.model, current, "last")
            rank = result.rank(self.settings.best_metric)
            is_best = rank > state.best_rank
            verdict = "is best" if is_best else "is not better"
            self.reporter.info(f"average of {len(found)} weights  {result.summary()}: {verdict}")
            if is_best:
                self._write_best(average, result, updates=[int(path.stem) for path in found])
                state.best_rank = rank  # should the run be trained on
        self._save()
        self.run.drop_healthy_state()
        self.run.record(
            finished=True,
            stop_reason=state.stop_reason,
            updates=state.update,
            epochs=state.epoch,
            target_tokens=state.num_tokens,
            elapsed_s=round(state.elapsed_s, 1),
        )

    # --- news ---------------------------------------------------------------------------------------------------

    def _log_if_due(self) -> str:
        """Means per target token and speeds since the last line; returns a short text of them where one was written."""
        log, state = self.state.log, self.state
        if log.updates + len(self._launched) < self.settings.log_every_updates:
            return ""
        self._catch_up()
        self._read_clock()
        means = {name: value / log.num_tokens for name, value in log.terms.items()}
        seconds = max(state.elapsed_s - log.begun_s, 1e-9)
        row = {
            "event": "train",
            "update": state.update,
            "epoch": state.epoch,
            **means,
            "gnorm": log.mean_gradient_norm,
            "wps": log.num_tokens / seconds,
            "ups": log.updates / seconds,
            "lr": self.optimizer.param_groups[0]["lr"],
            "elapsed_s": round(state.elapsed_s, 1),
            **{name: value for name, value in self.objective.extra_state().items() if isinstance(value, float)},
        }
        state.log = LogWindow(begun_s=state.elapsed_s)
        if self.world.is_main:
            self.run.append_metrics(row)
            self._events.add("train", row, state.update)
        return "  ".join(f"{name} {value:.3g}" for name, value in means.items())


def _seed_of(seed: int, update: int, rank: int) -> int:
    return (seed * 1_000_003 + update) * 4096 + rank
