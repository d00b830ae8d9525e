"""What `a2d prepare` did to the text, as `a2d report` shows it: out of data/report.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from a2d_cli.commands.report_html import Block, Fold, Missing, Paragraph
from a2d_cli.commands.table import Table
from a2d_cli.data.report import STEPS, Report
from a2d_cli.errors import A2DError
from a2d_cli.project.project import Project


def read_data(project: Project) -> Report | A2DError | None:
    """None: nothing was prepared; an error: the report cannot be read."""
    try:
        return Report(project.report_path) if project.report_path.exists() else None
    except A2DError as error:
        return error


def data_blocks(project: Project, report: Report | A2DError | None) -> Iterator[Block]:
    if not isinstance(report, Report):
        why = f"cannot be read: {report.message}" if report else "is not prepared:"
        yield Missing(
            f"The text {why}", project.command("prepare" if project.recipe_path.exists() else "prepare RECIPE")
        )
        return
    steps = report.sections
    # What cleaning wrote is read by the next step alone: without it a preparation is whole.
    undone = [step for step in STEPS if step not in steps or step in report.unfinished - {"clean"}]
    steps = {step: section for step, section in steps.items() if step not in undone}
    if undone:
        yield Missing(f"The preparation has not ended (not done: {', '.join(undone)}):", project.command("prepare"))
    if "clean" in steps:
        yield from _cleaning(steps["clean"])
    if "decontaminate" in steps:
        yield from _leaks(steps["decontaminate"])
    if "ids" in steps:
        yield _lengths(steps)
    if samples := [*_samples(steps)]:
        columns = ["text", "rule", "source", "target"]
        yield Fold("Some of the pairs that were dropped", (Table("", columns, samples),))


def _cleaning(step: Mapping[str, Any]) -> Iterator[Block]:
    rows = [
        [each["set"], _files(each), f"{each['read']:,}", f"{each['kept']:,}", *_dropped(each)]
        for each in step.get("sources", [])
    ]
    if rows:
        yield Table("Cleaning", ["text", "from", "pairs read", "kept", "dropped", "%", "by rule"], rows)
    left_out = [[each.get("set", each.get("src", "")), each.get("reason", "")] for each in step.get("left_out", [])]
    if left_out:
        yield Fold(
            f"Left out: {', '.join(dict.fromkeys(name for name, _ in left_out))}",
            (Table("", ["text", "why"], left_out),),
        )


def _files(source: Mapping[str, Any]) -> str:
    return " + ".join(str(source[side]) for side in ("src", "tgt") if source.get(side))


def _dropped(counts: Mapping[str, Any]) -> list[str]:
    """How many pairs, what share of those read, and how many by which rule."""
    dropped = counts.get("dropped", {})
    total = sum(dropped.values())
    share = f"{total / counts['read']:.2%}".removesuffix("%") if counts["read"] else "–"
    return [f"{total:,}", share, ", ".join(f"{rule} {count:,}" for rule, count in dropped.items()) or "–"]


def _leaks(step: Mapping[str, Any]) -> Iterator[Block]:
    if split := step.get("split"):
        sizes = f"{split['num_valid']:,} validation and {split['num_test']:,} test pairs"
        yield Paragraph(f"Split off the training text: {sizes}, by {split['by']} (seed {split['seed']}).")
    rows = []
    for name, counts in step.get("leaks", {}).items():
        total, share, where = _dropped(counts)
        rows.append([name, f"{counts['read']:,}", f"{counts['kept']:,}", total, share, where])
    note = (
        "by text: in which its source or its target stands, whatever the case and spacing; "
        "the pair is taken out of the text in the first column"
    )
    if rows:
        yield Table("Leaks taken out", ["text", "pairs read", "kept", "leaks", "%", "by text"], rows, note)


def _lengths(steps: Mapping[str, Any]) -> Table:
    sizes, ids, tokenizer = steps.get("decontaminate", {}).get("texts", {}), steps["ids"], steps.get("tokenizer", {})
    rows = []
    for name, by_lang in ids.get("lengths", {}).items():
        for lang, length in by_lang.items():
            unknown = ids.get("unknown", {}).get(name, {}).get(lang)
            rows.append(
                [name, lang, f"{sizes[name]['num_pairs']:,}" if name in sizes else "–"]
                + [
                    f"{length['mean']:.1f}",
                    *(f"{length[key]:.1f}".removesuffix(".0") for key in ("median", "p95", "max")),
                ]
                + ["–" if unknown is None else f"{unknown:.4%}".removesuffix("%")]
            )
    rows += [
        [name, "–", f"{size['num_pairs']:,}", *"–––––"]
        for name, size in sizes.items()
        if name not in ids.get("lengths", {})
    ]
    words = " and ".join(f"{size:,}" for size in tokenizer.get("vocab_size", []))
    note = (
        f"lengths in pieces of the tokenizer ({tokenizer.get('model_type', '?')}, {words} pieces); "
        "p95: 95 % are no longer; test sets are kept as text alone"
    )
    return Table(
        "Length in tokens", ["text", "language", "pairs", "mean", "median", "p95", "longest", "% unknown"], rows, note
    )


def _samples(steps: Mapping[str, Any]) -> Iterator[list[str]]:
    for source in steps.get("clean", {}).get("sources", []):
        for rule, pairs in source.get("samples", {}).items():
            yield from ([source["set"], rule, *pair] for pair in pairs)
    for name, counts in steps.get("decontaminate", {}).get("leaks", {}).items():
        for other, pairs in counts.get("samples", {}).items():
            yield from ([name, f"stands in {other}", *pair] for pair in pairs)


def data_hashes(report: Report) -> Iterator[Block]:
    """Fingerprints of what was prepared, and of what was downloaded for it."""
    values, steps = report.as_dict(), report.sections
    rows = [["all training and held-out text", values["data_fingerprint"]]] if "data_fingerprint" in values else []
    rows += [["tokenizer", values["tokenizer_fingerprint"]]] if "tokenizer_fingerprint" in values else []
    rows += [[f"{name} as token ids", digest] for name, digest in steps.get("ids", {}).get("fingerprints", {}).items()]
    if rows:
        yield Table("Data", ["what", "fingerprint"], rows)
    downloads = [
        [name, each["url"], each["sha256"]] for name, each in steps.get("clean", {}).get("downloads", {}).items()
    ]
    if downloads:
        yield Fold(f"Downloads ({len(downloads)} files)", (Table("", ["name", "address", "SHA-256"], downloads),))
