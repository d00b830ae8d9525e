"""Search with CTranslate2 (Klein et al. 2020): the engine of exported models, which needs no torch."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a2d_cli.config.schema import Decoding
from a2d_cli.cores import num_cores
from a2d_cli.data.tokenizer import Tokenizer
from a2d_cli.decoding.engine import Hypothesis, SearchBatch, with_attended
from a2d_cli.devices import read_device
from a2d_cli.errors import A2DError
from a2d_cli.reporting import count_text

if TYPE_CHECKING:
    import ctranslate2


def load_ctranslate2() -> Any:
    """The package.

    Raises:
        A2DError: it is not installed, or not for this machine.
    """
    try:
        import ctranslate2
    except ImportError as error:
        raise A2DError(
            f"the ct2 engine needs the package ctranslate2: {error}",
            "pip install 'ctranslate2>=4.6,<5', or translate with --engine torch",
        ) from None
    return ctranslate2


def default_threads() -> int:
    """As torch has it: OMP_NUM_THREADS, else all cores."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(told) if told.isdecimal() and int(told) else num_cores()


class CTranslate2Engine:
    """A model folder of CTranslate2.

    Args:
        threads: batches that are searched at the same time, each on one core; 0 = `default_threads`.
        device: cpu, cuda or cuda:N; auto = cpu, for which these models are made, and which needs no CUDA libraries.

    Raises:
        A2DError: the package is missing, the folder cannot be loaded, or the device cannot be used.
    """

    name = "ct2"

    def __init__(
        self,
        folder: Path,
        tokenizer: Tokenizer,
        max_tokens: int,
        *,
        threads: int = 0,
        device: str = "auto",
    ):
        self.max_tokens = max_tokens
        self._workers = threads or default_threads()
        self._src_pieces, self._tgt_pieces = tokenizer.src_pieces, tokenizer.tgt_pieces
        self._tgt_ids = {piece: i for i, piece in enumerate(self._tgt_pieces)}
        ctranslate2 = load_ctranslate2()
        num_gpus = ctranslate2.get_cuda_device_count()
        kind, number = ("cpu", None) if device == "auto" else read_device(device)
        if kind == "cuda" and (number or 0) >= num_gpus:
            raise A2DError(
                f"device '{device}' is asked for, but CTranslate2 finds {num_gpus} GPUs",
                "use --device cpu, or check nvidia-smi",
            )
        torch = sys.modules.get("torch")
        torch_threads = torch.get_num_threads() if torch else 0
        try:
            # One core a batch: small models have no work for two, and neighbours do not wait for each other.
            self._translator: ctranslate2.Translator = ctranslate2.Translator(
                str(folder),
                device=kind,
                device_index=number or 0,
                inter_threads=self._workers if kind == "cpu" else 1,
                intra_threads=1,
            )
            if kind == "cuda":  # whose libraries are looked for by the first product
                self._translator.translate_batch([self._src_pieces[:1]], max_decoding_length=1)
        except (RuntimeError, ValueError) as error:
            if kind == "cuda":
                hint = "use --device cpu, or install the CUDA libraries that it names"
                raise A2DError(f"{folder}: CTranslate2 cannot use {device}: {error}", hint) from None
            raise A2DError(f"{folder}: CTranslate2 cannot load it: {error}", "run 'a2d export' again") from None
        finally:
            if torch:  # whose threads CTranslate2 sets to its own number: they share one OpenMP
                torch.set_num_threads(torch_threads)

    @property
    def machine(self) -> str:
        device = self._translator.device
        return device if device != "cpu" else f"cpu, {count_text(self._workers, 'thread')}"

    def search(
        self, batches: Iterable[SearchBatch], settings: Decoding, *, align: bool = False, exact_length: bool = False
    ) -> Iterator[list[list[Hypothesis]]]:
        # Two a worker are on their way, so that none waits for the next and memory stays bounded.
        waiting: deque[tuple[SearchBatch, Any]] = deque()
        remaining = iter(batches)
        while True:
            for batch in islice(remaining, 2 * self._workers - len(waiting)):
                waiting.append((batch, self._start(batch, settings, exact_length)))
            if not waiting:
                return
            batch, results = waiting.popleft()
            found = [
                self._hypotheses(result.result(), limit) for limit, result in zip(batch.limits, results, strict=True)
            ]
            yield with_attended(batch.sources, found, self._attended) if align else found

    def _start(self, batch: SearchBatch, settings: Decoding, exact_length: bool) -> Any:
        # The end mark counts in a limit, and CTranslate2 needs no step for it; where lengths are given it shall do it.
        longest = max(batch.limits) - (not exact_length)
        return self._translator.translate_batch(
            [self._spell(source) for source in batch.sources],
            asynchronous=True,
            beam_size=settings.beam,
            num_hypotheses=settings.nbest,
            length_penalty=settings.length_penalty,
            no_repeat_ngram_size=settings.no_repeat_ngram,
            max_input_length=0,
            max_decoding_length=max(1, longest),
            min_decoding_length=longest if exact_length else 0,
            return_scores=True,
        )

    def score_tokens(self, sources: list[list[int]], targets: list[list[int]]) -> list[list[float]]:
        spelled = [[self._tgt_pieces[i] for i in target] for target in targets]
        results = self._translator.score_batch([self._spell(source) for source in sources], spelled, max_input_length=0)
        return [result.log_probs for result in results]

    def _spell(self, source: list[int]) -> list[str]:
        return [self._src_pieces[i] for i in source]

    def _hypotheses(self, result: Any, limit: int) -> list[Hypothesis]:
        """Cut to the sentence's own limit: CTranslate2 knows one for the whole batch.

        Of what becomes equal by that, the best; its score stays that of the whole.
        """
        found: dict[tuple[int, ...], float] = {}
        for pieces, score in zip(result.hypotheses, result.scores, strict=True):
            found.setdefault(tuple(self._tgt_ids[piece] for piece in pieces[: limit - 1]), score)
        return [Hypothesis(tokens, score) for tokens, score in found.items()]

    def _attended(self, sources: list[list[int]], targets: list[Sequence[int]]) -> Iterator[Sequence[int]]:
        """Of a forced pass: the attention that a beam search of several sentences returns is not always that of its
        hypotheses (CTranslate2 4.8.5)."""
        prefixes = [[self._tgt_pieces[i] for i in target] for target in targets]
        results = self._translator.translate_batch(
            [self._spell(source) for source in sources],
            target_prefix=prefixes,
            beam_size=1,
            max_input_length=0,
            max_decoding_length=max(1, *map(len, prefixes)),
            min_decoding_length=0,
            return_attention=True,
        )
        for source, target, result in zip(sources, targets, results, strict=True):
            rows = result.attention[0][: len(target)]
            yield [max(range(len(source)), key=row.__getitem__) for row in rows]
