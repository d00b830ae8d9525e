"""Ctrl-C, SIGTERM and a closed terminal, noted instead of ending the process in the middle of something."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Interruption:
    number: int = 0  # of the signal that came; 0: none

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Inside the block the first SIGINT, SIGTERM or SIGHUP (unless that is ignored: nohup) only sets `number`; a second
        one ends the work at once.

        Raises:
            KeyboardInterrupt: at the second signal.
        """

        def note(number: int, frame: object) -> None:
            if self.number:
                raise KeyboardInterrupt
            self.number = number

        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        previous = {number: signal.signal(number, note) for number in numbers}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
