"""A result as rows and columns, before it is printed, drawn or written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """What `console.print_table` prints."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    note: str = ""
