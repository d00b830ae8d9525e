"""Beam search as a function of a step function; it knows no Transformer.

Letters: N sentences still searched, W beam width, V vocabulary of the step's scores.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from a2d_cli.decoding.engine import Hypothesis


class Cache(Protocol):
    def select(self, rows: Tensor, sentences: Tensor | None) -> Cache: ...


C = TypeVar("C", bound=Cache)
StepFunction = Callable[[Tensor, C], "tuple[Tensor, C]"]


@dataclass(frozen=True)
class SearchSettings:
    beam: int = 5
    nbest: int = 1
    length_penalty: float = 1.0
    no_repeat_ngram: int = 0  # no n tokens occur twice in an output; 0 = allowed
    exact_length: bool = False  # no output ends before its limit


def beam_search(
    step: StepFunction, cache: C, max_lengths: Tensor, start: int, eos: int, settings: SearchSettings
) -> list[list[Hypothesis]]:
    """Search all sentences of a batch at once.

    Args:
        step: last tokens (N·W,) and cache -> next log-probabilities (N·W, V) and the grown cache.
        cache: for N·W hypotheses, those of a sentence side by side.
        max_lengths: (N,) most tokens of each output, end mark counted; at the limit the end mark is forced.
        start: the id that the decoder reads first.
        eos: the end mark's id.

    Returns:
        For each sentence its `nbest` best hypotheses, best first (fewer only if no more exist).
    """
    beam, device = settings.beam, max_lengths.device
    num_sentences = len(max_lengths)
    finished: list[list[Hypothesis]] = [[] for _ in range(num_sentences)]
    open_sentences = torch.arange(num_sentences, device=device)  # row n of the batch searches this sentence
    tokens = torch.full((num_sentences * beam,), start, dtype=torch.long, device=device)
    history = torch.empty((num_sentences * beam, 0), dtype=torch.long, device=device)  # (N·W, t)
    scores = torch.full((num_sentences, beam), float("-inf"), device=device)
    scores[:, 0] = 0.0  # all hypotheses start alike: let one of them live
    for length in range(1, int(max_lengths.max()) + 1):
        log_probs, cache = step(tokens, cache)  # (N·W, V)
        if settings.no_repeat_ngram:
            banned = _completes_repetition(history, settings.no_repeat_ngram, log_probs.shape[-1])
            log_probs = log_probs.masked_fill(banned, float("-inf"))
        log_probs = log_probs.view(len(open_sentences), beam, -1)
        at_limit = max_lengths[open_sentences] <= length
        is_end = torch.arange(log_probs.shape[-1], device=device) == eos
        if bool(at_limit.any()):
            log_probs = log_probs.masked_fill(at_limit[:, None, None] & ~is_end, float("-inf"))
        if settings.exact_length:
            log_probs = log_probs.masked_fill(~at_limit[:, None, None] & is_end, float("-inf"))
        total = scores[:, :, None] + log_probs  # (N, W, V)
        vocabulary = total.shape[-1]
        # Twice the beam: even if `beam` candidates end now, `beam` go on.
        top, index = total.flatten(1).topk(min(2 * beam, total[0].numel()), dim=1)  # (N, 2W)
        parent = index.div(vocabulary, rounding_mode="floor")
        token = index % vocabulary
        ends = token == eos
        # An end counts where it stands among the best `beam`.
        rows, columns = (ends & top.isfinite())[:, :beam].nonzero(as_tuple=True)
        ended = zip(
            open_sentences[rows].tolist(),
            history[rows * beam + parent[rows, columns]].tolist(),
            top[rows, columns].tolist(),
            strict=True,
        )
        for sentence, prefix, log_prob in ended:
            finished[sentence].append(Hypothesis(tuple(prefix), log_prob / length**settings.length_penalty))

        # Of the rest, the best `beam` live on; a stable sort keeps them in order of score.
        alive = ends.to(torch.int8).sort(dim=1, stable=True).indices[:, :beam]
        scores = top.gather(1, alive).masked_fill(ends.gather(1, alive), float("-inf"))
        parent, token = parent.gather(1, alive), token.gather(1, alive)

        done = [
            len(finished[sentence]) >= beam or limit or not lives
            for sentence, limit, lives in zip(
                open_sentences.tolist(), at_limit.tolist(), scores.isfinite().any(1).tolist(), strict=True
            )
        ]
        if all(done):
            break
        first_rows = torch.arange(0, len(done) * beam, beam, device=device)  # of each sentence
        kept = None
        if any(done):
            kept = torch.tensor([row for row, is_done in enumerate(done) if not is_done], device=device)
            open_sentences, first_rows = open_sentences[kept], first_rows[kept]
            scores, parent, token = scores[kept], parent[kept], token[kept]
        rows = (first_rows[:, None] + parent).flatten()
        cache = cache.select(rows, kept)
        tokens = token.flatten()
        history = torch.cat([history[rows], tokens[:, None]], 1)
    return [sorted(hypotheses, key=lambda h: -h.score)[: settings.nbest] for hypotheses in finished]


def _completes_repetition(history: Tensor, size: int, vocabulary: int) -> Tensor:
    """(R, V), True at tokens that would make the last `size` tokens of a history (R, t) occur in it twice."""
    banned = torch.zeros(history.shape[0], vocabulary, dtype=torch.bool, device=history.device)
    if history.shape[1] >= size:
        n_grams = history.unfold(1, size, 1)  # (R, t - size + 1, size)
        begun = history[:, history.shape[1] - size + 1 :]  # (R, size - 1)
        rows, columns = (n_grams[..., :-1] == begun[:, None]).all(-1).nonzero(as_tuple=True)
        banned[rows, n_grams[rows, columns, -1]] = True
    return banned
