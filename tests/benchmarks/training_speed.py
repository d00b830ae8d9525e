"""What a training step costs: beside its matrix products alone, and beside the same step as one would write it first.

    OMP_WAIT_POLICY=PASSIVE python tests/benchmarks/training_speed.py --rounds 5 --threads 1
    python tests/benchmarks/training_speed.py --small

Six steps take turns in one process, on one synthetic batch, with models of random weights:

    plain            a2d's student alone: cross-entropy
    live             A2D (a2d-simplex), the teacher asked in the step
    cached           the same, the teacher's last states and maps read from its cache
    cached top-k     the same, its 32 likeliest words and maps read from its cache
    yardstick        the A2D step in straightforward torch, its teacher live (below, from `YardstickAttention` on)
    yardstick plain  cross-entropy in straightforward torch

A step is forward, backward, clipping and Adam; a2d's also read their batch. Before a step is timed it is taken once
untimed: what the one before it has left in the heap is not its own doing. After each round every matrix product that
a step contains is timed alone, at its shapes and strides (column `alone`: at what rate); all of them together are the
least that the step can take, and their share of it is the step's rate of arithmetic against the machine's own. Fused
attention (the plain step's, about 1 % of it) counts as neither. CPU seconds are those of all threads; ratios and shares
are medians over the rounds, of CPU seconds. Peak memory is that of a process of its own for each step, torch and models
included.

Each has its own manners with memory: a2d's steps keep freed memory, as its trainer does, the yardsticks' run with
glibc's defaults. Elsewhere the yardstick is favoured: its batch is as full as those of a2d and padded already, and
its divergences run over padding too, which saves it the masks.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import math
import multiprocessing
import os
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from a2d_cli.config.schema import Distillation, ModelShape, Training
from a2d_cli.data.batching import Batch, BatchPlan, BatchSettings, SpecialIds
from a2d_cli.distillation.cache_filling import CacheRequest, cached_or_live
from a2d_cli.distillation.cached_teacher import CachedTeacher
from a2d_cli.distillation.objective import DistillationObjective
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.model.transformer import Transformer, Vocabularies, sinusoids
from a2d_cli.reporting import Reporter
from a2d_cli.training.distributed import World
from a2d_cli.training.memory import keep_freed_memory, peak_memory_bytes
from a2d_cli.training.objective import Objective, RunContext, TrainingStep, TranslationObjective
from a2d_cli.training.optimizer import make_adam

WAYS = ("plain", "live", "cached", "cached top-k", "yardstick", "yardstick plain")
EOS = 2
LABEL_SMOOTHING, DROPOUT, CLIP_NORM = 0.1, 0.1, 1.0
M_TRIM_THRESHOLD = -1  # of mallopt(3)
MEMORY_STEPS = 2  # the second has the optimizer's moments from its beginning

Step = Callable[[], object]


@dataclass(frozen=True)
class Sizes:
    """What can be chosen; the defaults are those of the paper's IWSLT14 models."""

    d_model: int = 512
    ffn_dim: int = 1024
    num_heads: int = 4
    teacher_layers: int = 6  # on each side
    student_layers: int = 3
    vocab_size: int = 10_000  # pad included
    tokens: int = 2000  # target tokens of a batch, padding included
    length: int = 20  # of the longest sentences, end mark included

    def shape(self, layers: int) -> ModelShape:
        return ModelShape(self.d_model, self.num_heads, self.ffn_dim, layers, layers, DROPOUT)


SMALL = Sizes(64, 128, 4, 2, 1, 1000, 400, 10)


class SyntheticText:
    """A corpus of one batch: each side is 1 token shorter than the longest or as long, as in the plan's."""

    fingerprint = "synthetic"

    def __init__(self, sizes: Sizes):
        rng = np.random.default_rng(1)
        num_pairs = sizes.tokens // sizes.length
        self.src_lengths, self.tgt_lengths = rng.integers(sizes.length - 2, sizes.length, (2, num_pairs))
        self._src, self._tgt = rng.integers(EOS + 1, sizes.vocab_size - 1, (2, num_pairs, sizes.length))

    def __len__(self) -> int:
        return len(self.src_lengths)

    def src(self, i: int) -> np.ndarray:
        return self._src[i, : self.src_lengths[i]]

    def tgt(self, i: int) -> np.ndarray:
        return self._tgt[i, : self.tgt_lengths[i]]


# --- a2d's steps --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Bench:
    """Makes the steps. Letters, here and below: B sentences, Q queries, K keys, T targets, V vocabulary, C maps."""

    sizes: Sizes
    caches_dir: Path

    @property
    def ids(self) -> SpecialIds:
        return SpecialIds(self.sizes.vocab_size - 1, self.sizes.vocab_size - 1, EOS)

    @property
    def plan(self) -> BatchPlan:
        return BatchPlan(SyntheticText(self.sizes), self.ids, BatchSettings(self.sizes.tokens), seed=1)

    def batch(self) -> Batch:
        plan = self.plan
        return plan.load(plan.in_order()[0])

    def step(self, way: str) -> Step:
        if way.startswith("yardstick"):
            return self._yardstick(distils=way == "yardstick")
        return self._own(self._objective(way))

    def _model(self, layers: int) -> Transformer:
        torch.manual_seed(1)
        return Transformer(self.sizes.shape(layers), Vocabularies(self.sizes.vocab_size, self.sizes.vocab_size))

    def _objective(self, way: str) -> Objective:
        student = self._model(self.sizes.student_layers)
        if way == "plain":
            return TranslationObjective(student, LABEL_SMOOTHING)
        teacher = Teacher(self._model(self.sizes.teacher_layers))
        if way != "live":
            teacher = self._cached(teacher, "states" if way == "cached" else "topk")
        settings = Distillation(method="a2d-simplex")
        return DistillationObjective(student, teacher, settings, LABEL_SMOOTHING, max_updates=1000, seed=1)

    def _cached(self, live: Teacher, mode: Literal["states", "topk"]) -> Teacher:
        """Filled by the first that asks, read by the others."""
        top_k = Distillation().cache_top_k
        request = CacheRequest(mode, top_k, True, True, self.caches_dir / mode, "random", "a teacher", "a text")
        context = RunContext(self.plan, torch.device("cpu"), World(), Reporter(), "")
        teacher = cached_or_live(live, request, context)
        assert isinstance(teacher, CachedTeacher)
        return teacher

    def _own(self, objective: Objective) -> Step:
        """As the trainer takes it."""
        plan = self.plan
        (indices,) = plan.in_order()
        parameters = [each for each in objective.parameters() if each.requires_grad]
        optimizer = make_adam(parameters, Training())

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            objective.train()
            batch = plan.load(indices)
            (objective(batch, TrainingStep(epoch=1, update=1)).total / batch.num_tgt_tokens).backward()
            norm = torch.nn.utils.get_total_norm([each.grad for each in parameters if each.grad is not None])
            torch.nn.utils.clip_grads_with_norm_(parameters, CLIP_NORM, norm)
            optimizer.step()

        return step

    def _yardstick(self, distils: bool) -> Step:
        student = YardstickTransformer(self.sizes, self.sizes.student_layers).train()
        if not distils:
            return self._yardstick_plain(student)
        teacher = YardstickTransformer(self.sizes, self.sizes.teacher_layers).eval()
        maps_of = self.sizes.num_heads * self.sizes.student_layers, self.sizes.num_heads * self.sizes.teacher_layers
        aligners = nn.ModuleList(nn.Conv2d(*maps_of, 1) for _ in range(3))
        parameters = [*student.parameters(), *aligners.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=1e-3, betas=(0.9, 0.98))
        batch = self.batch()

        def step() -> None:
            optimizer.zero_grad()
            logits, maps = student(batch.src, batch.tgt_in)
            with torch.no_grad():
                teacher_logits, teacher_maps = teacher(batch.src, batch.tgt_in)
            logits, teacher_logits = logits.flatten(0, 1), teacher_logits.flatten(0, 1)  # (B·T, V)
            loss = 0.5 * F.cross_entropy(
                logits, batch.tgt_out.flatten(), ignore_index=self.ids.tgt_pad, label_smoothing=LABEL_SMOOTHING
            )
            loss = loss + 0.5 * F.kl_div(
                F.log_softmax(logits, -1), F.softmax(teacher_logits, -1), reduction="batchmean"
            )
            for aligner, own, target in zip(aligners, maps, teacher_maps, strict=True):
                aligned = aligner(own).flatten(2).flatten(0, 1)  # (B·C, Q·K)
                target = target.flatten(2).flatten(0, 1)
                loss = loss + F.kl_div(F.log_softmax(aligned, -1), F.softmax(target, -1), reduction="batchmean")
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
            optimizer.step()

        return step

    def _yardstick_plain(self, student: YardstickTransformer) -> Step:
        optimizer = torch.optim.Adam(student.parameters(), lr=1e-3, betas=(0.9, 0.98))
        batch = self.batch()

        def step() -> None:
            optimizer.zero_grad()
            logits, _ = student(batch.src, batch.tgt_in)
            F.cross_entropy(
                logits.flatten(0, 1),
                batch.tgt_out.flatten(),
                ignore_index=self.ids.tgt_pad,
                label_smoothing=LABEL_SMOOTHING,
            ).backward()
            nn.utils.clip_grad_norm_(student.parameters(), CLIP_NORM)
            optimizer.step()

        return step


# --- the yardstick's model ----------------------------------------------------------------------------------


class YardstickAttention(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.num_heads = sizes.num_heads
        self.q, self.k, self.v, self.out = (nn.Linear(sizes.d_model, sizes.d_model) for _ in range(4))

    def forward(self, query: Tensor, memory: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, Q, d), (B, K, d) -> (B, Q, d) and the map (B, H, Q, K)"""

        def heads(x: Tensor) -> Tensor:
            return x.view(x.shape[0], x.shape[1], self.num_heads, -1).transpose(1, 2)

        q, k, v = heads(self.q(query)), heads(self.k(memory)), heads(self.v(memory))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        attention = F.softmax(scores.masked_fill(~mask, float("-inf")), -1)
        return self.out((attention @ v).transpose(1, 2).reshape(query.shape)), attention


class YardstickLayer(nn.Module):
    """Of an encoder or, with attention to a memory, of a decoder; norms behind the residuals."""

    def __init__(self, sizes: Sizes, is_decoder: bool):
        super().__init__()
        self.self_attention = YardstickAttention(sizes)
        self.cross_attention = YardstickAttention(sizes) if is_decoder else None
        self.fc1, self.fc2 = nn.Linear(sizes.d_model, sizes.ffn_dim), nn.Linear(sizes.ffn_dim, sizes.d_model)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(sizes.d_model) for _ in range(3))

    def forward(
        self, x: Tensor, mask: Tensor, memory: Tensor | None = None, memory_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        change, self_map = self.self_attention(x, x, mask)
        x = self.norm1(x + F.dropout(change, DROPOUT, self.training))
        cross_map = None
        if self.cross_attention is not None:
            change, cross_map = self.cross_attention(x, memory, memory_mask)
            x = self.norm2(x + F.dropout(change, DROPOUT, self.training))
        change = self.fc2(F.relu(self.fc1(x)))
        return self.norm3(x + F.dropout(change, DROPOUT, self.training)), self_map, cross_map


class YardstickTransformer(nn.Module):
    def __init__(self, sizes: Sizes, layers: int):
        super().__init__()
        self.sizes, self.pad = sizes, sizes.vocab_size - 1
        self.embedding = nn.Embedding(sizes.vocab_size, sizes.d_model, padding_idx=self.pad)
        nn.init.normal_(self.embedding.weight, std=sizes.d_model**-0.5)
        self.encoder = nn.ModuleList(YardstickLayer(sizes, False) for _ in range(layers))
        self.decoder = nn.ModuleList(YardstickLayer(sizes, True) for _ in range(layers))
        self.register_buffer("positions", sinusoids(sizes.length, sizes.d_model))

    def embed(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids) * math.sqrt(self.sizes.d_model) + self.positions[: ids.shape[1]]
        return F.dropout(x, DROPOUT, self.training)

    def forward(self, src: Tensor, tgt_in: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Logits (B, T, V), and the maps of encoder, decoder and cross-attention, each (B, C, Q, K)."""
        src_mask = (src != self.pad)[:, None, None, :]
        causal = torch.ones(tgt_in.shape[1], tgt_in.shape[1], dtype=torch.bool).tril()
        encoder_maps, decoder_maps, cross_maps = [], [], []
        memory = self.embed(src)
        for layer in self.encoder:
            memory, self_map, _ = layer(memory, src_mask)
            encoder_maps.append(self_map)
        x = self.embed(tgt_in)
        for layer in self.decoder:
            x, self_map, cross_map = layer(x, causal, memory, src_mask)
            decoder_maps.append(self_map)
            cross_maps.append(cross_map)
        maps = (torch.cat(each, 1) for each in (encoder_maps, decoder_maps, cross_maps))
        return F.linear(x, self.embedding.weight), tuple(maps)


# --- matrix products alone ----------------------------------------------------------------------------------

aten = torch.ops.aten
PRODUCTS = {
    aten.mm,
    aten.bmm,
    aten.addmm,
    aten.addmm_,
    aten.baddbmm,
    aten.convolution,
    aten.convolution_backward,
}


@dataclass(frozen=True)
class TensorForm:
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def make(self) -> Tensor:
        span = 1 + sum((size - 1) * stride for size, stride in zip(self.shape, self.strides, strict=True))
        return torch.rand(span).as_strided(self.shape, self.strides)


@dataclass(frozen=True)
class Product:
    """One call of the library, without its numbers."""

    operation: Any
    arguments: tuple[Any, ...]
    options: tuple[tuple[str, Any], ...]

    def ready(self) -> Step:
        arguments = [each.make() if isinstance(each, TensorForm) else each for each in self.arguments]
        return lambda: self.operation(*arguments, **dict(self.options))


class ProductRecorder(TorchDispatchMode):
    """Counts the products that run inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.products: Counter[Product] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket in PRODUCTS:
            arguments = tuple(self._describe(each) for each in args)
            self.products[Product(func, arguments, tuple(sorted((kwargs or {}).items())))] += 1
        return func(*args, **(kwargs or {}))

    @staticmethod
    def _describe(value: Any) -> Any:
        if isinstance(value, Tensor):
            return TensorForm(tuple(value.shape), value.stride())
        return tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True)
class Arithmetic:
    """What a step computes."""

    flops: int  # of its products; each multiplication with its addition is two
    products: Counter[Product]


def flops_in_place(total: list[int], left: list[int], right: list[int], **_: Any) -> int:
    """Of `total.addmm_(left, right)`, which torch's counter does not know, from the three shapes."""
    return 2 * left[0] * left[1] * right[1]


def arithmetic_of(step: Step) -> Arithmetic:
    counter = FlopCounterMode(display=False, custom_mapping={aten.addmm_: flops_in_place})
    with counter, ProductRecorder() as recorder:
        step()
    return Arithmetic(counter.get_total_flops(), recorder.products)


# --- measuring ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Time:
    wall_s: float
    cpu_s: float


def timed(work: Step) -> Time:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    work()
    return Time(time.perf_counter() - wall_s, time.process_time() - cpu_s)


@dataclass(frozen=True)
class Measured:
    """By way, a value a round."""

    times: dict[str, list[Time]]
    product_s: dict[str, list[float]]  # CPU seconds of the step's products alone
    flops: dict[str, int]

    def median(self, way: str, key: str) -> float:
        return statistics.median(getattr(each, key) for each in self.times[way])

    def ratio(self, way: str, other: str) -> float:
        """CPU seconds of one to those of the other."""
        pairs = zip(self.times[way], self.times[other], strict=True)
        return statistics.median(a.cpu_s / b.cpu_s for a, b in pairs)

    def share(self, way: str) -> float:
        pairs = zip(self.product_s[way], self.times[way], strict=True)
        return statistics.median(products / step.cpu_s for products, step in pairs)


def manage_memory(way: str) -> None:
    """As who takes this step would: a2d keeps freed memory; glibc gives back what lies free at the heap's end."""
    keep_freed_memory()
    if way.startswith("yardstick"):
        with contextlib.suppress(AttributeError, OSError):  # no glibc
            # Twice the highest size that it does not map, which it has learnt once a tensor of that size was freed.
            ctypes.CDLL(None).mallopt(M_TRIM_THRESHOLD, 64 << 20)


def measure(bench: Bench, rounds: int) -> Measured:
    steps = {way: bench.step(way) for way in WAYS}
    arithmetic = {way: arithmetic_of(step) for way, step in steps.items()}  # which warms the steps up, too
    alone = {product: product.ready() for each in arithmetic.values() for product in each.products}
    for call in alone.values():
        call()
    times: dict[str, list[Time]] = {way: [] for way in WAYS}
    product_s: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, step in steps.items():
            manage_memory(way)
            step()
            times[way].append(timed(step))
        once_s = {product: statistics.fmean(timed(call).cpu_s for _ in range(2)) for product, call in alone.items()}
        for way, each in arithmetic.items():
            product_s[way].append(sum(count * once_s[product] for product, count in each.products.items()))
    return Measured(times, product_s, {way: each.flops for way, each in arithmetic.items()})


def peak_of(bench: Bench, way: str, threads: int) -> int:
    """Bytes; for a process of its own."""
    torch.set_num_threads(threads)
    manage_memory(way)
    step = bench.step(way)
    for _ in range(MEMORY_STEPS):
        step()
    return peak_memory_bytes()


def peaks_of(bench: Bench, threads: int) -> dict[str, int]:
    peaks = {}
    for way in WAYS:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            peaks[way] = process.submit(peak_of, bench, way, threads).result()
    return peaks


# --- telling ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Target:
    what: str
    found: float
    at_least: float | None = None
    at_most: float | None = None

    def __str__(self) -> str:
        limit, bound = ("at least", self.at_least) if self.at_most is None else ("at most", self.at_most)
        held = self.found >= bound if self.at_most is None else self.found <= bound
        return f"{self.what:46}{self.found:6.2f}  {limit} {bound:<5}{'holds' if held else 'missed'}"


def targets(measured: Measured, peaks: dict[str, int]) -> list[Target]:
    ratio, share = measured.ratio, measured.share
    return [
        Target("live: the yardstick's CPU time to its", ratio("yardstick", "live"), at_least=1.2),
        Target("cached: the yardstick's CPU time to its", ratio("yardstick", "cached"), at_least=1.65),
        Target("live: share of the products' rate", share("live"), at_least=0.9),
        Target("cached: share of the products' rate", share("cached"), at_least=0.88),
        Target("live: cost to the plain step's", ratio("live", "plain"), at_most=1.4),
        Target("cached: cost to the plain step's", ratio("cached", "plain"), at_most=1.06),
        Target("cached top-k: cost to the plain step's", ratio("cached top-k", "plain"), at_most=1.06),
        Target("live: cost to the yardstick's plain step's", ratio("live", "yardstick plain"), at_most=1.4),
        Target("cached: cost to the yardstick's plain step's", ratio("cached", "yardstick plain"), at_most=1.06),
        Target("live: peak memory to the yardstick's", peaks["live"] / peaks["yardstick"], at_most=0.75),
        Target("cached: peak memory to the yardstick's", peaks["cached"] / peaks["yardstick"], at_most=0.75),
    ]


def report(measured: Measured, peaks: dict[str, int], batch: Batch) -> None:
    tokens = batch.num_tgt_tokens
    print(f"batch: {len(batch.src)} pairs, {tokens} real target tokens of {batch.tgt_out.numel()}\n")
    print(f"{'step':16}{'wall s':>8}{'CPU s':>8}{'tok/CPU s':>11}{'GFLOP':>8}{'GFLOP/CPU s':>13}", end="")
    print(f"{'alone':>8}{'share':>8}{'peak MiB':>10}")
    for way in WAYS:
        wall_s, cpu_s = measured.median(way, "wall_s"), measured.median(way, "cpu_s")
        gflop, alone_s = measured.flops[way] / 1e9, statistics.median(measured.product_s[way])
        print(
            f"{way:16}{wall_s:8.2f}{cpu_s:8.2f}{tokens / cpu_s:11.0f}{gflop:8.0f}{gflop / cpu_s:13.1f}"
            f"{gflop / alone_s:8.1f}{measured.share(way):8.2f}{peaks[way] / 2**20:10.0f}"
        )
    print("\nTargets, set for the default sizes:")
    for target in targets(measured, peaks):
        print(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="small models, for a quick try")
    for field in fields(Sizes):
        parser.add_argument("--" + field.name.replace("_", "-"), type=int, help=f"default {field.default}")
    given = parser.parse_args()
    chosen = {field.name: getattr(given, field.name) for field in fields(Sizes)}
    chosen = {name: value for name, value in chosen.items() if value is not None}
    sizes = Sizes(**{**asdict(SMALL if given.small else Sizes()), **chosen})
    torch.set_num_threads(given.threads)
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="a2d-training-speed-") as place:
        bench = Bench(sizes, Path(place))
        measured = measure(bench, given.rounds)
        peaks = peaks_of(bench, given.threads)
        print(f"{sizes}")
        print(f"{given.rounds} rounds, {given.threads} threads of {os.cpu_count()} cores, torch {torch.__version__}")
        print(f"load average {load_before:.1f} before, {os.getloadavg()[0]:.1f} after")
        report(measured, peaks, bench.batch())


if __name__ == "__main__":
    main()
