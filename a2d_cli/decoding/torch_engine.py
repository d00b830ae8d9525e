"""Search with our own Transformer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from a2d_cli.config.schema import Decoding
from a2d_cli.data.batching import SpecialIds, pad_batch, pad_sources
from a2d_cli.decoding.beam_search import beam_search
from a2d_cli.decoding.engine import Hypothesis, SearchBatch, with_attended
from a2d_cli.model.incremental_decoder import IncrementalDecoder
from a2d_cli.model.transformer import Transformer
from a2d_cli.reporting import count_text


def machine_of(device: torch.device) -> str:
    """What computes there: `cpu, 2 threads`, `NVIDIA H200`."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {count_text(torch.get_num_threads(), 'thread')}"


class TorchEngine:
    """A Transformer in evaluation mode. From its first search on the engine holds the weights as they were then.

    Args:
        alignment_head: (layer, head) of the cross-attention that `align` reads, both from 0.
    """

    name = "torch"

    def __init__(self, model: Transformer, ids: SpecialIds, alignment_head: tuple[int, int] | None = None):
        self.model, self.ids, self.alignment_head = model, ids, alignment_head
        self.max_tokens = model.shape.max_positions
        self._decoders: dict[bool, IncrementalDecoder] = {}  # by whether they are made for one row

    @property
    def machine(self) -> str:
        return machine_of(self.model.positions.device)

    def search(
        self, batches: Iterable[SearchBatch], settings: Decoding, *, align: bool = False, exact_length: bool = False
    ) -> Iterator[list[list[Hypothesis]]]:
        for batch in batches:
            with torch.inference_mode():
                found = self._search(batch, settings, exact_length)
                if align:
                    found = with_attended(batch.sources, found, self._attended)
            yield found

    def _search(self, batch: SearchBatch, settings: Decoding, exact_length: bool) -> list[list[Hypothesis]]:
        device = self.model.positions.device
        src = pad_sources(batch.sources, self.ids).to(device)
        one_row = len(src) * settings.beam == 1
        if one_row not in self._decoders:
            self._decoders[one_row] = IncrementalDecoder(self.model, one_row)
        decoder = self._decoders[one_row]
        limits = torch.tensor(batch.limits, device=device)
        cache = decoder.start(src, settings.beam)
        return beam_search(decoder.step, cache, limits, self.ids.tgt_pad, self.ids.eos, settings, exact_length)

    @torch.inference_mode()
    def score_tokens(self, sources: list[list[int]], targets: list[list[int]]) -> list[list[float]]:
        batch = pad_batch(sources, targets, self.ids).to(self.model.positions.device)
        states = batch.real(self.model(batch.src, batch.tgt_in).states)
        log_probs = self.model.logits(states).log_softmax(-1, dtype=torch.float32)
        chosen = log_probs.gather(-1, batch.real(batch.tgt_out)[:, None])[:, 0]
        return [each.tolist() for each in chosen.split(batch.tgt_mask.sum(1).tolist())]

    def _attended(self, sources: list[list[int]], targets: list[Sequence[int]]) -> Iterator[Sequence[int]]:
        """Of a forced pass over given translations."""
        if self.alignment_head is None:
            raise ValueError("an engine without an alignment head cannot align")
        batch = pad_batch(sources, targets, self.ids).to(self.model.positions.device)
        for attention, source, target in zip(self._head_map(batch.src, batch.tgt_in), sources, targets, strict=True):
            yield attention[: len(target), : len(source)].argmax(-1).tolist()

    def _head_map(self, src: Tensor, tgt_in: Tensor) -> Tensor:
        """Cross-attention (B, T, S) of the alignment head."""
        layer, head = self.alignment_head
        maps = self.model(src, tgt_in, need_maps=True).maps
        return maps.cross[:, layer * self.model.shape.num_heads + head]
