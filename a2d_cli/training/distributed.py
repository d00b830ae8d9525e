"""Ranks of a torchrun launch, and the device and number format of each."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from a2d_cli.devices import read_device
from a2d_cli.errors import A2DError, ConfigError

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """This process among `size`; rank 0 alone writes files and talks."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def machine_text(self, one: str) -> str:
        """What all ranks together compute on, where each has `one`: `cpu, 1 thread`, `4 processes of: NVIDIA H200`."""
        return one if self.size == 1 else f"{self.size} processes of: {one}"

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over ranks (in place)."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def any_rank(self, flag: bool, device: torch.device) -> bool:
        """True on all ranks if it is true on any."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor([float(flag)], device=device)) > 0)

    def on_main(self, work: Callable[[], T]) -> T:
        """Rank 0 does `work` while the others wait; all get its result, or end with it if it fails."""
        if self.size == 1:
            return work()
        box: list[Any] = [None, 0]  # the result and an exit code
        try:
            if self.is_main:
                box[0] = work()
        except BaseException as error:
            box[1] = getattr(error, "exit_code", 1)
            raise
        finally:
            dist.broadcast_object_list(box, src=0)
        if box[1]:
            raise SystemExit(box[1])  # rank 0 says why
        return box[0]


def environment_world() -> World:
    """What torchrun's environment says; one process without it."""

    def number(name: str, default: str) -> int:
        return int(os.environ.get(name, default))

    return World(number("RANK", "0"), number("WORLD_SIZE", "1"), number("LOCAL_RANK", "0"))


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[World]:
    """Join the other ranks for the length of a block: NCCL on GPUs, gloo on CPUs."""
    world = environment_world()
    if world.size == 1:
        yield world
        return
    # The other ranks wait while rank 0 validates.
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=timedelta(hours=4))
    try:
        yield world
    except BaseException as error:
        _let_go(error)
        raise
    finally:
        dist.destroy_process_group()


def _let_go(error: BaseException | None) -> None:
    """Free what an error's frames hold.

    A DistributedDataParallel that outlives its group waits, with Python's lock in hand, for a thread that waits for the
    lock: the process would never end.
    """
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> a device that is there.

    Raises:
        ConfigError: no name of a device, or one GPU for several processes.
        A2DError: a GPU is asked for and absent.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, number = read_device(name)
    if kind == "cpu":
        return torch.device("cpu")
    if number is not None and environment_world().size > 1:
        raise ConfigError(f"'{name}' would be the GPU of all processes", "--device cuda gives each its own")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = environment_world().local_rank if number is None else number
    if index >= count:
        raise A2DError(
            f"device '{name}' is asked for, but torch {torch.__version__} finds {count} GPUs",
            "use --device cpu, or install a CUDA build of torch and check nvidia-smi",
        )
    torch.cuda.set_device(index)
    # cuDNN plans anew for each size of a batch: 0.2 s an update, on an H100, until a text's sizes have all been met.
    torch.backends.cuda.enable_cudnn_sdp(False)
    return torch.device("cuda", index)


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """`auto` is bf16 (fp16 where the hardware has none) on a GPU and fp32 on a CPU, where half precision is slower.

    fp32 is fp32: TF32 is not asked for. In half precision it has nothing to gain either, as only the aligners' small
    products are left in fp32, of probabilities that it would round to three digits.
    """
    if name == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[name]
