"""Devices by the names that `--device` takes."""

from __future__ import annotations

import re

from a2d_cli.errors import ConfigError

DEVICE = re.compile(r"cpu|cuda(:\d+)?")


def read_device(name: str) -> tuple[str, int | None]:
    """`cpu`, `cuda` or `cuda:N` -> its kind, and the number of a GPU that is named.

    Raises:
        ConfigError: no name of a device.
    """
    if not DEVICE.fullmatch(name):
        raise ConfigError(f"'{name}' is no device", "use --device auto, cpu, cuda or cuda:N")
    kind, _, number = name.partition(":")
    return kind, int(number) if number else None
