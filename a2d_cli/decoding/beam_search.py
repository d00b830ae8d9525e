"""Beam search as a function of a step function; it knows no Transformer.

Letters: N sentences still searched, W beam width, V vocabulary of the step's scores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from a2d_cli.config.schema import Decoding
from a2d_cli.decoding.engine import Hypothesis


class Cache(Protocol):
    def select(self, rows: Tensor, sentences: Tensor | None) -> Cache: ...


C = TypeVar("C", bound=Cache)
StepFunction = Callable[[Tensor, C], "tuple[Tensor, C]"]


def beam_search(
    step: StepFunction,
    cache: C,
    max_lengths: Tensor,
    start: int,
    eos: int,
    settings: Decoding,
    exact_length: bool = False,
) -> list[list[Hypothesis]]:
    """Search all sentences of a batch at once.

    Args:
        step: last tokens (N·W,) and cache -> next log-probabilities (N·W, V), the search's to write in, and the grown
            cache.
        cache: for N·W hypotheses, those of a sentence side by side.
        max_lengths: (N,) most tokens of each output, end mark counted; at the limit the end mark is forced.
        start: the id that the decoder reads first.
        eos: the end mark's id.

    Returns:
        For each sentence its `nbest` best hypotheses, best first (fewer only if no more exist).
    """
    beam, device = settings.beam, max_lengths.device
    limits = max_lengths.tolist()
    finished: list[list[Hypothesis]] = [[] for _ in limits]
    open_sentences = list(range(len(limits)))  # row n of the batch searches this sentence
    first_rows = torch.arange(0, len(limits) * beam, beam, device=device)  # of each sentence
    tokens = torch.full((len(limits) * beam,), start, dtype=torch.long, device=device)
    history = torch.empty((len(limits) * beam, 0), dtype=torch.long, device=device)  # (N·W, t)
    scores = torch.full((len(limits), beam), float("-inf"), device=device)
    scores[:, 0] = 0.0  # all hypotheses start alike: let one of them live
    for length in range(1, max(limits) + 1):
        log_probs, cache = step(tokens, cache)  # (N·W, V)
        at_limit = [limits[sentence] <= length for sentence in open_sentences]
        if exact_length or any(at_limit):
            _forbid(log_probs.view(len(open_sentences), beam, -1), max_lengths <= length, eos, exact_length)
        if settings.no_repeat_ngram:
            _forbid_repetition(log_probs, history, settings.no_repeat_ngram)
        # Twice the beam: even if `beam` candidates end now, `beam` go on. First of each hypothesis, then of all.
        width = min(2 * beam, log_probs.shape[-1])
        best, token = (each.view(len(open_sentences), beam, width) for each in log_probs.topk(width, dim=1))
        top, index = (scores[:, :, None] + best).flatten(1).topk(min(2 * beam, beam * width), dim=1)  # (N, 2W)
        parent, token = index.div(width, rounding_mode="floor"), token.flatten(1).gather(1, index)
        ends = token == eos
        # An end counts where it stands among the best `beam`.
        counted = (ends & top.isfinite())[:, :beam]

        # Of the rest, the best `beam` live on; a stable sort keeps them in order of score.
        alive = ends.to(torch.int8).sort(dim=1, stable=True).indices[:, :beam]
        scores = top.gather(1, alive).masked_fill(ends.gather(1, alive), float("-inf"))

        # The step's one wait for the device, but where hypotheses have ended.
        num_ended, num_alive = torch.stack([counted.sum(1), scores.isfinite().sum(1)]).tolist()
        if any(num_ended):
            ended = counted.nonzero(as_tuple=True)  # rows and columns
            prefixes = history[first_rows[ended[0]] + parent[ended]].tolist()
            for row, prefix, log_prob in zip(ended[0].tolist(), prefixes, top[ended].tolist(), strict=True):
                hypothesis = Hypothesis(tuple(prefix), log_prob / length**settings.length_penalty)
                finished[open_sentences[row]].append(hypothesis)
        staying = [
            row
            for row, sentence in enumerate(open_sentences)
            if len(finished[sentence]) < beam and not at_limit[row] and num_alive[row]
        ]
        if not staying:
            break
        parent, token = parent.gather(1, alive), token.gather(1, alive)
        parent_rows, kept = first_rows[:, None] + parent, None
        if len(staying) < len(open_sentences):
            kept = torch.tensor(staying, device=device)
            open_sentences = [open_sentences[row] for row in staying]
            max_lengths, first_rows = max_lengths[kept], first_rows[: len(staying)]
            scores, token, parent_rows = scores[kept], token[kept], parent_rows[kept]
        parent_rows, tokens = parent_rows.flatten(), token.flatten()
        cache = cache.select(parent_rows, kept)
        history = torch.cat([history[parent_rows], tokens[:, None]], 1)
    return [sorted(hypotheses, key=lambda h: -h.score)[: settings.nbest] for hypotheses in finished]


def _forbid(log_probs: Tensor, at_limit: Tensor, eos: int, exact_length: bool) -> None:
    """Leave of (N, W, V) the end mark alone where `at_limit` (N,); of exact length, anything but it elsewhere."""
    ends = log_probs[..., eos].clone()
    if exact_length:
        ends.masked_fill_(~at_limit[:, None], float("-inf"))
    log_probs.masked_fill_(at_limit[:, None, None], float("-inf"))
    log_probs[..., eos] = ends


def _forbid_repetition(log_probs: Tensor, history: Tensor, size: int) -> None:
    """In (R, V), the tokens that would make the last `size` tokens of a history (R, t) occur in it twice."""
    if history.shape[1] >= size:
        n_grams = history.unfold(1, size, 1)  # (R, t - size + 1, size)
        begun = history[:, history.shape[1] - size + 1 :]  # (R, size - 1)
        rows, columns = (n_grams[..., :-1] == begun[:, None]).all(-1).nonzero(as_tuple=True)
        log_probs[rows, n_grams[rows, columns, -1]] = float("-inf")
