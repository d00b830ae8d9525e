"""Ranks of a torchrun launch. Only this file and the trainer's shares know how many processes there are."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from a2d_cli.errors import A2DError


@dataclass(frozen=True)
class World:
    """This process among `size`; rank 0 alone writes files and talks."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def sum(self, values: Tensor) -> Tensor:
        """Sum a tensor over ranks (in place)."""
        if self.size > 1:
            dist.all_reduce(values)
        return values

    def agree(self, flag: bool, device: torch.device) -> bool:
        """True on all ranks if it is true on any."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor([float(flag)], device=device)) > 0)

    def from_main(self, value: object) -> object:
        """Rank 0's value on every rank."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
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
    finally:
        dist.destroy_process_group()


def choose_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` -> a device that is there.

    Raises:
        A2DError: a GPU is asked for and absent.
    """
    world = environment_world()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name != "cpu" and not name.startswith("cuda"):
        raise A2DError(f"training.device: '{name}' is no device", "use auto, cpu, cuda or cuda:N")
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        index = int(name[5:]) if name[5:].isdigit() else world.local_rank
        if index >= count:
            raise A2DError(
                f"device '{name}' is asked for, but torch {torch.__version__} finds {count} GPUs",
                "use --device cpu, or install a CUDA build of torch and check nvidia-smi",
            )
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return torch.device("cpu")
