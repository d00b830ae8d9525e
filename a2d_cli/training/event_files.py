"""What TensorBoard shows of a run, beside its metrics.jsonl."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class EventFiles:
    """Curves in TensorBoard's own files. Where it is not installed, or before `open`, nothing is written."""

    def __init__(self) -> None:
        self._writer: Any = None

    @contextlib.contextmanager
    def open(self, folder: Path, update: int) -> Iterator[None]:
        """Write to `folder`; points after `update` that stand there already are shown no more."""
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            yield
            return
        self._writer = SummaryWriter(str(folder), purge_step=update + 1)
        try:
            yield
        finally:
            self._writer.close()
            self._writer = None

    def add(self, group: str, row: Mapping[str, Any], update: int) -> None:
        """A point for each float of `row`, under the group's name; the wall time has an axis of its own."""
        if self._writer is not None:
            for name, value in row.items():
                if isinstance(value, float) and name != "elapsed_s":
                    self._writer.add_scalar(f"{group}/{name}", value, update)
