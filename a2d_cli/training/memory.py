"""What a process knows and does about its memory."""

from __future__ import annotations

import contextlib
import ctypes
import re
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from a2d_cli.errors import A2DError

# Parameters of mallopt(3), from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def keep_freed_memory() -> None:
    """Tell glibc's malloc to hold on to freed blocks of up to 32 MiB; elsewhere, do nothing.

    By default each big tensor is a mapping of its own: the system clears its pages when it is made and takes them back
    when it is freed, thousands of times a second. That was a tenth to a fifth of a small model's training time.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl
        return
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the highest that glibc takes
    mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def peak_memory_bytes() -> int:
    """The most memory that this process has held."""
    # Not getrusage where Linux knows better: a process begins there with the peak of the one that started it.
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"^VmHWM:\s*(\d+) kB$", status.read_text(), re.MULTILINE)):
        return int(found[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_out_of_memory(error: BaseException) -> bool:
    """CUDA and Python have their own classes; the CPU allocator says it in words."""
    import torch  # here alone: who only asks for a process's peak must not hold all of torch

    words = ("not enough memory", "can't allocate memory", "out of memory")
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(word in str(error) for word in words)


@contextlib.contextmanager
def explained_out_of_memory(where: str, hint: str) -> Iterator[None]:
    """Say what a block did when memory did not suffice, and what to do.

    Raises:
        A2DError: it did not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise A2DError(f"out of memory {where}", hint) from None
