"""A function over a text of any size on all cores: chunks go to worker processes and come back in their order.

Each process holds one chunk, this one a few more. Nothing here has threads: a worker reads while it has nothing to
do, and this process sends to none that has, so neither waits for the other for ever.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import TypeVar

from a2d_cli.cores import num_cores
from a2d_cli.errors import A2DError

Item = TypeVar("Item")  # a pair of sentences, and perhaps more
Result = TypeVar("Result")

CHUNK_PAIRS = 10_000  # some 3 MB, and some 0.1 s of work
# Workers begin behind these pairs. They take about 0.3 s to start, and save about as much on so many.
ALONE_PAIRS = 100_000
MAX_WORKERS = 8  # this process reads and writes as fast as so many encode; and each takes some 70 MiB


def map_chunks(
    function: Callable[[list[Item]], Result],
    pairs: Iterable[Item],
    alone: Callable[[list[Item]], Result] | None = None,
) -> Iterator[tuple[list[Item], Result]]:
    """Every chunk of `pairs` with what `function` makes of it. Close it where it may not come to its end.

    Args:
        function: goes to each worker once, by pickle.
        alone: what does the same in this process, where there are no workers; None: `function`.

    Raises:
        Exception: what `function` raises, here or in a worker.
        A2DError: a worker was killed.
    """
    chunks = _chunks(pairs)
    num_workers = min(num_cores(), MAX_WORKERS)
    for chunk in islice(chunks, ALONE_PAIRS // CHUNK_PAIRS if num_workers > 1 else None):
        yield chunk, (alone or function)(chunk)
    if chunk := next(chunks, None):
        with _workers(function, num_workers) as pipes:
            yield from _share(pipes, chunk, chunks)


def _chunks(pairs: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(pairs)
    while chunk := list(islice(iterator, CHUNK_PAIRS)):
        yield chunk


def _share(
    idle: list[Connection], upcoming: list[Item] | None, chunks: Iterator[list[Item]]
) -> Iterator[tuple[list[Item], Result]]:
    """Each chunk to a worker that has none, and the results in the chunks' order.

    Args:
        idle: pipes to the workers.
        upcoming: the first chunk; `chunks` are the others.
    """
    max_held = len(idle) + 1
    held: dict[int, list[Item]] = {}  # by number: with a worker, or done and not yet asked for
    done: dict[int, Result] = {}
    working: dict[Connection, int] = {}
    num_sent = num_returned = 0
    while upcoming or held:
        while upcoming and idle and len(held) < max_held:
            pipe = idle.pop()
            _send(pipe, upcoming)
            held[num_sent], working[pipe] = upcoming, num_sent
            num_sent += 1
            upcoming = next(chunks, None)  # ahead of time: no worker waits for it
        for pipe in wait(list(working), timeout=0 if num_returned in done else None):
            done[working.pop(pipe)] = _receive(pipe)
            idle.append(pipe)
        if num_returned in done:
            yield held.pop(num_returned), done.pop(num_returned)
            num_returned += 1


# --- Processes


@dataclass(frozen=True)
class _Failure:
    error: Exception
    trace: str  # in the worker


class _InWorker(Exception):
    """Where in a worker an error came from."""


@contextlib.contextmanager
def _workers(function: Callable[[list[Item]], Result], number: int) -> Iterator[list[Connection]]:
    """Processes that know `function`; nothing is left of them behind the block."""
    context = multiprocessing.get_context("spawn")  # a fork would copy locks that other threads hold
    pipes: list[Connection] = []
    processes: list[multiprocessing.process.BaseProcess] = []
    try:
        with _ctrl_c_held():
            for _ in range(number):
                ours, theirs = context.Pipe()
                process = context.Process(target=_be_worker, args=(theirs,), daemon=True)
                process.start()
                theirs.close()  # so that either process notices the end of the other
                processes.append(process)
                pipes.append(ours)
        for pipe in pipes:
            _send(pipe, function)
        yield list(pipes)
    finally:
        for process in processes:
            process.kill()  # it holds nothing that anybody wants
        for process in processes:
            process.join()
        for pipe in pipes:
            pipe.close()


@contextlib.contextmanager
def _ctrl_c_held() -> Iterator[None]:
    """It is heard behind the block, and never by a process that is started within: that ends with this one."""
    resource_tracker.ensure_running()  # else it would start with the first process, and let Ctrl-C through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _send(pipe: Connection, message: object) -> None:
    try:
        pipe.send(message)
    except (BrokenPipeError, ConnectionResetError):
        raise _killed() from None


def _receive(pipe: Connection) -> Result:
    try:
        message = pipe.recv()
    except (EOFError, ConnectionResetError):
        raise _killed() from None
    if isinstance(message, _Failure):
        raise message.error from _InWorker(message.trace)
    return message


def _killed() -> A2DError:
    return A2DError(
        "a process that worked on a part of the text was killed",
        "most often for want of memory: free some, and run the same command again",
    )


def _be_worker(pipe: Connection) -> None:
    gc.disable()  # to look for cycles among a chunk's lists, which have none, takes a fifth of the time
    _work(pipe)


def _work(pipe: Connection) -> None:
    """The life of a worker: it ends when the other end of the pipe does."""
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        function = pipe.recv()
        while True:
            chunk = pipe.recv()
            try:
                message = function(chunk)
            except Exception as error:  # noqa: BLE001  # raised again where the result is wanted
                message = _Failure(error, traceback.format_exc())
            pipe.send(message)
