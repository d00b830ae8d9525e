"""Results that are kept: the last of a key counts, also for who reads the file later."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from a2d_cli.project.result_log import ResultLog


@dataclass(frozen=True)
class Line:
    key: str
    value: int
    format: int = 1


def test_the_last_result_of_a_key_is_found_at_once_and_after_reopening(tmp_path: Path):
    log = ResultLog(tmp_path / "results.jsonl", Line)
    for line in (Line("a", 1), Line("b", 2), Line("a", 3)):
        log.add(line)
    for each in (log, ResultLog(tmp_path / "results.jsonl", Line)):
        assert (each.find("a"), each.find("b"), each.find("c")) == (Line("a", 3), Line("b", 2), None)
