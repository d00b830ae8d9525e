"""Ctrl-C, SIGTERM, a closed terminal and the end of the parent, noted instead of ending the process midway."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass

ENDS_WITH_PARENT = (
    "A2D_ENDS_WITH_PARENT"  # in the environment of a child whose standard input is a pipe from its parent
)


@dataclass
class Interruption:
    number: int = 0  # of the signal that came; 0: none

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Inside the block the first SIGINT, SIGTERM or SIGHUP (unless that is ignored: nohup) only sets `number`.

        A second one ends the work at once.

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


def end_with_parent() -> None:
    """SIGTERM to this process as soon as its parent has ended, even by kill -9.

    The kernel then closes the parent's end of the pipe, on every system alike.
    """
    del os.environ[ENDS_WITH_PARENT]  # of processes started from here this one is the parent

    def wait() -> None:
        while os.read(stdin, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    stdin = sys.stdin.fileno()
    threading.Thread(target=wait, daemon=True).start()
