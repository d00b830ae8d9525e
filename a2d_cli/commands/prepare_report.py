"""What `a2d prepare` did, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from a2d_cli.data.report import STEPS


@dataclass(frozen=True)
class PrepareReport:
    """What `prepare` did."""

    steps_done: tuple[str, ...]  # this time; the others were up to date
    values: dict[str, Any]  # data/report.json

    def summary_rows(self) -> list[tuple[str, str]]:
        """What a person wants to see of it: label, text."""
        steps = self.values["steps"]
        texts = steps["decontaminate"]["texts"]
        train = [tally for tally in steps["clean"]["sources"] if tally["set"] == "train"]
        rows = [
            ("read", f"{sum(tally['read'] for tally in train):,} training pairs"),
            ("dropped by cleaning", counts_text(sum_counts(tally["dropped"] for tally in train))),
        ]
        leaks = steps["decontaminate"]["leaks"]
        rows += [(f"leaks removed from {name}", counts_text(tally["dropped"])) for name, tally in leaks.items()]
        rows += [(name, f"{text['num_pairs']:,} pairs") for name, text in texts.items()]
        for lang, lengths in steps["ids"]["lengths"]["train"].items():
            rows.append((f"tokens a sentence, {lang}", _listed(lengths, "{:g}")))
        vocabulary = " + ".join(f"{size:,}" for size in steps["tokenizer"]["vocab_size"])
        vocabulary += " joint" if steps["tokenizer"]["joint"] else ""
        if source := steps["tokenizer"].get("taken_from"):
            vocabulary += f", taken from {source}"
        rows.append(("vocabulary", vocabulary))
        rows.append(("unknown pieces", _listed(steps["ids"]["unknown"]["train"], "{:.4%}")))
        if left_out := steps["clean"]["left_out"]:
            names = ", ".join(dict.fromkeys(left.get("set", left["src"]) for left in left_out))
            rows.append(("left out", f"{names} (why: report.json; --overwrite tries again)"))
        rows.append(("licence", self.values["licence"]))
        rows.append(("steps", _durations(steps, self.steps_done)))
        return rows


def sum_counts(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in counts:
        for key, number in one.items():
            total[key] = total.get(key, 0) + number
    return total


def _listed(values: Mapping[str, float], form: str) -> str:
    return " · ".join(f"{name} {form.format(value)}" for name, value in values.items())


def counts_text(counts: Mapping[str, int]) -> str:
    most_first = dict(sorted(counts.items(), key=lambda item: -item[1]))
    return _listed(most_first, "{:,}") or "nothing"


def _durations(steps: dict[str, Any], done: tuple[str, ...]) -> str:
    return " · ".join(
        f"{step} {steps[step]['duration_s']:.1f} s" if step in done else f"{step} unchanged" for step in STEPS
    )
