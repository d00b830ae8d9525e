"""A comparison as a picture: means with 95 % intervals, by method and length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from a2d_cli.commands.compare_report import METRICS, ComparedRuns, Comparison
from a2d_cli.comparison import Sample
from a2d_cli.errors import A2DError, ConfigError
from a2d_cli.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg")
PANEL_INCHES = (3.3, 2.8)
MARKERS = "osD^vP*X<>"
LOWER_IS_BETTER = {"test_nll": "nats, lower is better", "kl": "nats, lower is better"}


def check_figure(path: Path) -> None:
    """Refuse before hours of training what could not be drawn after them.

    Raises:
        ConfigError: neither PNG nor SVG.
        A2DError: matplotlib is not installed.
    """
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"--figure {path}: the name must end in {' or '.join(FORMATS)}", "for example --figure comparison.svg"
        )
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise A2DError("--figure needs matplotlib, which is not installed", "pip install 'a2d-cli[plot]'") from None


def draw(comparison: Comparison, path: Path) -> None:
    """A row of panels a test set, a panel a metric; small dots are seeds, dashed lines the teacher."""
    import matplotlib
    from matplotlib.figure import Figure

    tests = list(dict.fromkeys(block.test_set for block in comparison.blocks))
    width, height = PANEL_INCHES
    # Text stays text in an SVG, and what it hashes by is no random number: the same data give the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "a2d", "font.size": 8.5}):
        figure = Figure(figsize=(width * len(METRICS), (height + 0.5) * len(tests)), layout="constrained")
        panels = figure.subplots(len(tests), len(METRICS), squeeze=False)
        for test_set, row in zip(tests, panels, strict=True):
            blocks = [block for block in comparison.blocks if block.test_set == test_set]
            for metric, axes in zip(METRICS, row, strict=True):
                if len(blocks) > 1:
                    _draw_lengths(axes, blocks, metric)
                else:
                    _draw_methods(axes, blocks[0], metric)
                for number, teacher in enumerate(blocks[0].teachers if metric != "kl" else ()):
                    label = None if number else "teacher" + "s" * (len(blocks[0].teachers) > 1)
                    axes.axhline(getattr(teacher, metric), color="0.45", linestyle="--", linewidth=1, label=label)
                remark = f" ({LOWER_IS_BETTER[metric]})" if metric in LOWER_IS_BETTER else ""
                axes.set_title(f"{METRICS[metric][0]}{remark}")
                axes.grid(axis="y", color="0.9")
                axes.set_axisbelow(True)
                axes.spines[["top", "right"]].set_visible(False)
            row[0].set_ylabel(test_set)
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 8), frameon=False)
        n = len(comparison.seeds)
        length = "" if len(comparison.lengths) > 1 else f", {comparison.lengths[0]:,} updates"
        interval = f"mean and 95 % interval (Student's t) over {n} seeds" if n > 1 else "a single seed: no interval"
        figure.suptitle(f"{comparison.pair}, student {comparison.student}{length}: {interval}")
        with atomic_path(path) as temporary:
            metadata = {"Date": None} if path.suffix.lower() == ".svg" else {}
            figure.savefig(temporary, format=path.suffix.lower()[1:], dpi=150, metadata=metadata)


def _draw_methods(axes: Axes, block: ComparedRuns, metric: str) -> None:
    for place, method in enumerate(block.methods):
        sample = block.sample(method, metric)
        colour, marker = f"C{place % 10}", MARKERS[place % len(MARKERS)]
        axes.plot([place + 0.18] * len(sample.values), sample.values, ".", color=colour, alpha=0.45, markersize=5)
        axes.errorbar(
            [place],
            [sample.mean],
            yerr=_bars([sample]),
            fmt=marker,
            color=colour,
            capsize=3,
            markersize=5,
            label=method,
        )
    axes.set_xticks([])
    axes.set_xlim(-0.6, len(block.methods) - 0.4)


def _draw_lengths(axes: Axes, blocks: list[ComparedRuns], metric: str) -> None:
    lengths = [block.updates for block in blocks]
    methods = blocks[0].methods
    for place, method in enumerate(methods):
        samples = [block.sample(method, metric) for block in blocks]
        colour, marker = f"C{place % 10}", MARKERS[place % len(MARKERS)]
        # Side by side, so that intervals do not hide each other.
        shift = 1 + 0.02 * (place - (len(methods) - 1) / 2)
        axes.errorbar(
            [length * shift for length in lengths],
            [sample.mean for sample in samples],
            yerr=_bars(samples),
            fmt=f"-{marker}",
            color=colour,
            capsize=3,
            markersize=4,
            linewidth=1.2,
            label=method,
        )
    axes.set_xscale("log")
    axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
    axes.minorticks_off()
    axes.set_xlabel("updates")


def _bars(samples: Sequence[Sample]) -> tuple[list[float], list[float]] | None:
    """How far intervals reach below and above the means, cut at 0 (no score is below); None: a seed alone has none."""
    halves = [sample.half_width for sample in samples]
    if any(map(math.isnan, halves)):
        return None
    return [max(0.0, min(half, sample.mean)) for half, sample in zip(halves, samples, strict=True)], halves
