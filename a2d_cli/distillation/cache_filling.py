"""From a request for a cached teacher to a cache that is full and says what the live teacher says.

Letters: N target positions, V vocabulary.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from a2d_cli.data.batching import BatchPlan, BatchSettings
from a2d_cli.distillation.cached_teacher import CacheContents, CachedTeacher, answers_of, kept_cells, parts_of
from a2d_cli.distillation.teacher_cache import CacheOrigin, TeacherCache, outdated_caches, remove_cache
from a2d_cli.distillation.teachers import Teacher
from a2d_cli.errors import A2DError, Interrupted
from a2d_cli.files import free_bytes
from a2d_cli.model.attention import KINDS
from a2d_cli.model.transformer import Transformer
from a2d_cli.training.interruption import Interruption
from a2d_cli.training.objective import RunContext

# A cached teacher says what the live one says in fp32, within these. float16 keeps a trained model's words to about
# 0.001 nats; a live teacher under bf16 autocast is coarser than that (some 0.01 nats, and up to 0.03 of a cell).
WORDS_TOLERANCE_NATS = 0.01  # Σ p |log p - log p'| at a position, p the live teacher's probabilities
MAPS_TOLERANCE = 1e-3  # of a cell's probability
SAMPLED_PAIRS = 8  # compared with the live teacher at each start
FILL_TOKENS = 4096  # target tokens that the live teacher reads at once
AUTO_SHARE = 0.5  # of the memory (reading must not wait for the disk) and of the free disk: what `auto` may take


@dataclass(frozen=True)
class CacheRequest:
    """What a run wants to be cached, and where."""

    mode: Literal["auto", "states", "topk"]
    top_k: int
    words: bool  # the method learns from the teacher's words
    maps: bool  # and from its attention
    caches_dir: Path
    teacher: str  # hash of its weights
    teacher_place: str
    text_place: str
    num_teachers: int = 1  # that share memory and disk, each with a cache of its own


def cached_or_live(live: Teacher, request: CacheRequest, context: RunContext) -> Teacher:
    """The teacher with its answers on disk: found there, or asked for now; or the live one, where `auto` finds no room.

    The cached one keeps nothing of the model but its output layer: the layers of `live` are freed, so that it can be
    asked no more.

    Raises:
        A2DError: no room on the disk; another process fills the cache; it holds other answers than the teacher gives.
        Interrupted: SIGINT, SIGTERM or SIGHUP came; what was filled is kept.
    """
    interruption = Interruption()
    try:
        with interruption.noted():
            contents = context.world.on_main(lambda: _Preparation(live, request, context).contents(interruption))
    except KeyboardInterrupt:
        raise Interrupted(interruption.number, context.resume_hint) from None
    if context.world.any_rank(bool(interruption.number), context.device):
        raise Interrupted(interruption.number or signal.SIGTERM, context.resume_hint)
    if contents is None:
        return live
    teacher = CachedTeacher(live.model, contents, _cache(live.model, request, contents, context.plan))
    del live.model.encoder_layers[:], live.model.decoder_layers[:]
    return teacher


class _Preparation:
    """From a request to a cache that is full and agrees with the live teacher. Of all ranks, the first does it."""

    def __init__(self, live: Teacher, request: CacheRequest, context: RunContext):
        self.live, self.request, self.context = live, request, context
        self.model, self.plan, self.reporter = live.model, context.plan, context.reporter
        pairs = np.concatenate(self.plan.in_order())
        chosen = np.random.default_rng(self.plan.seed).permutation(len(pairs))[:SAMPLED_PAIRS]
        self.sample = self.plan.load(pairs[chosen]).to(context.device)
        with torch.no_grad():
            self.said = self.model(self.sample.src, self.sample.tgt_in, request.maps, form=live.form)

    def contents(self, interruption: Interruption) -> CacheContents | None:
        """What the cache holds; None: the live teacher must teach."""
        request = self.request
        contents = CacheContents(maps=request.maps, form=self.live.form)
        if request.words and request.mode == "topk":
            contents = replace(contents, top_k=min(request.top_k, self.model.vocabularies.tgt_pad))
        elif request.words:
            contents = replace(contents, states=self._states_dtype())
        cache = _cache(self.model, request, contents, self.plan)
        self._remove_outdated(cache.origin)
        if not self._has_room(cache, contents):
            return None
        difference = self._fill_and_compare(cache, contents, interruption)
        if difference:
            self.reporter.warn(f"{cache.folder} differs from the live teacher ({difference}): it is made anew")
            cache.empty(self.context.resume_hint)
            difference = self._fill_and_compare(cache, contents, interruption)
        if difference:
            raise A2DError(
                f"{cache.folder}: made anew, it still differs from the live teacher: {difference}",
                "let the teacher teach live: leave out --cache-teacher, or --set distillation.cache=none",
            )
        return contents

    def _states_dtype(self) -> str:
        """float16, unless rounding to it changes what the teacher says."""
        states = self.said.states[self.sample.tgt_mask]
        exact, rounded = (self.model.logits(each).log_softmax(-1) for each in (states, states.half().float()))
        gap = _words_gap(exact, rounded, None)
        if gap <= WORDS_TOLERANCE_NATS:
            return "float16"
        self.reporter.info(f"teacher cache: states in float32, as float16 would be {gap:.2g} nats off")
        return "float32"

    def _remove_outdated(self, origin: CacheOrigin) -> None:
        for folder in outdated_caches(self.request.caches_dir, origin):
            try:
                size = remove_cache(folder, self.context.resume_hint)
            except A2DError:  # being filled: its process may still want it
                continue
            self.reporter.info(f"removed {folder} ({_size(size)}): the teacher or the text it was made of has changed")

    def _has_room(self, cache: TeacherCache, contents: CacheContents) -> bool:
        """Whether the cache may be made or, if it is full, used.

        Raises:
            A2DError: it was asked for by name and does not fit on the disk.
        """
        size, missing = cache.num_bytes, cache.num_bytes_missing
        free, memory = free_bytes(cache.folder), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        told = f"{contents} of {len(cache.order):,} pairs, {_size(size)}"
        if self.request.mode == "auto":
            share = AUTO_SHARE / self.request.num_teachers
            hint = f"more than {share:.0%} of the"
            reason = ""
            if size > share * memory:
                reason = f"{hint} memory, {_size(memory)}"
            elif missing > share * free:
                reason = f"{hint} free disk, {_size(free)}"
            if reason:
                self.reporter.info(f"the teacher teaches live: a cache of {told}, would take {reason}")
                return False
        elif missing > free:
            raise A2DError(
                (
                    f"{cache.folder}: {_size(missing)} are needed for {contents} of {len(cache.order):,} pairs, "
                    f"{_size(free)} are free"
                ),
                (
                    "free some space, put the project on another disk, or leave out --cache-teacher: "
                    "the teacher then teaches live"
                ),
            )
        self.reporter.info(f"teacher cache: {told} ({_size(missing)} to be filled, {_size(free)} free): {cache.folder}")
        return True

    def _fill_and_compare(self, cache: TeacherCache, contents: CacheContents, interruption: Interruption) -> str:
        """What tells the full cache from the live teacher; empty where nothing does, or where there was no time."""
        if cache.num_bytes_missing:
            self._fill(cache, contents, interruption)
        return "" if interruption.number else self._difference(CachedTeacher(self.model, contents, cache))

    def _fill(self, cache: TeacherCache, contents: CacheContents, interruption: Interruption) -> None:
        """Ask the live teacher about the pairs that are not held yet; an interruption ends it behind a batch."""
        total = self.plan.num_tgt_tokens(cache.order)
        longest = cache.origin.longest
        batches = BatchPlan(
            self.plan.corpus, self.plan.ids, BatchSettings(max(FILL_TOKENS, longest), max_length=longest), seed=0
        ).in_order()
        with (
            cache.appending(self.context.resume_hint) as writer,
            self.reporter.progress("teacher cache", total, "tokens") as bar,
        ):
            bar.advance(self.plan.num_tgt_tokens(cache.order[: writer.num_pairs]))
            begin = 0
            for batch in batches:
                pairs = batch[max(writer.num_pairs - begin, 0) :]
                begin += len(batch)
                if len(pairs) == 0:
                    continue
                answers = answers_of(self.model, contents, self.plan.load(pairs).to(self.context.device))
                writer.append(answers, len(pairs))
                bar.advance(self.plan.num_tgt_tokens(pairs))
                if interruption.number:
                    return

    def _difference(self, cached: CachedTeacher) -> str:
        """What tells the cached from the live teacher, beyond the tolerance, on the sample; empty: nothing."""
        taught = cached(self.sample, self.request.maps)
        if self.request.words:
            exact = self.model.logits(self.said.states[self.sample.tgt_mask]).log_softmax(-1)
            told = taught.logits(slice(None)).log_softmax(-1)
            gap = _words_gap(exact, told, cached.contents.top_k or None)
            if not gap <= WORDS_TOLERANCE_NATS:  # NaN differs
                return f"words by {gap:.2g} nats, at most {WORDS_TOLERANCE_NATS} are allowed"
        if self.request.maps:
            cells = kept_cells(self.model, self.sample)
            for kind in KINDS:
                exact, told = (getattr(maps, kind) for maps in (self.said.maps, taught.maps))
                gap = float(((exact - told).abs() * cells[kind][:, None]).max())
                if not gap <= MAPS_TOLERANCE:
                    return f"{kind} maps by {gap:.2g}, at most {MAPS_TOLERANCE} are allowed"
        return ""


def _cache(model: Transformer, request: CacheRequest, contents: CacheContents, plan: BatchPlan) -> TeacherCache:
    origin = CacheOrigin(
        request.teacher, plan.corpus.fingerprint, plan.longest, request.teacher_place, request.text_place
    )
    parts = parts_of(model, contents, plan)
    return TeacherCache(request.caches_dir / origin.folder_name, origin, np.concatenate(plan.in_order()), parts)


def _words_gap(log_p: Tensor, log_q: Tensor, top_k: int | None) -> float:
    """Σ p |log p - log q| at the worst of N positions, over all words or q's `top_k` likeliest. (N, V) x2 -> nats"""
    if top_k:
        likeliest = log_q.topk(top_k).indices
        log_p, log_q = log_p.gather(1, likeliest), log_q.gather(1, likeliest)
    return float((log_p.exp() * (log_p - log_q).abs()).sum(-1).max())


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.2f} GB" if num_bytes >= 1e7 else f"{num_bytes / 1e6:.2f} MB"
