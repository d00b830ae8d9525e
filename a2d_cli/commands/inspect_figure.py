"""What `a2d inspect` found as pictures: alignments by head, and maps of a sentence."""

from __future__ import annotations

import io
import math
import unicodedata
import warnings
from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from a2d_cli.commands.inspect_report import KIND_TITLES, Inspection, SentenceMaps, share_text
from a2d_cli.distillation.inspection import Alignment, Head, HeadMaps, Matrix
from a2d_cli.errors import A2DError
from a2d_cli.files import atomic_path

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
FOLDER = "inspection"  # in a run folder
SEQUENTIAL, DIVERGING = "magma_r", "coolwarm"  # nothing is light; equal steps look equal
TEXT = 7.0  # points
SIDES = {  # of a map: what stands in its rows, and in its columns
    "encoder_self": ("source", "source"),
    "decoder_self": ("target, next to be written", "target, written so far"),
    "cross": ("target, next to be written", "source"),
}
LAYER_GAP = 0.35  # between two layers, in cells
OTHER_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Hiragino Sans",
    "Arial Unicode MS",
    "Noto Sans",
    "Noto Sans Arabic",
)


def missing_package() -> A2DError | None:
    """What keeps pictures from being drawn."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return A2DError("pictures need matplotlib, which is not installed", "pip install 'a2d-cli[plot]'")
    return None


def write_figures(inspection: Inspection, folder: Path | None, form: str) -> list[Path]:
    """Every picture as a file of its name; replaces those of an earlier inspection.

    Args:
        folder: None: the run's own.
        form: svg or png.
    """
    folder, paths = folder or Path(inspection.folder, FOLDER), []
    for name, content in {**alignment_figures(inspection, form), **sentence_figures(inspection, form)}.items():
        paths.append(folder / f"{name}.{form}")
        with atomic_path(paths[-1]) as temporary:
            temporary.write_bytes(content)
    return paths


def alignment_figures(inspection: Inspection, form: str = "svg") -> dict[str, bytes]:
    """A picture an alignment by its name (`simplex-cross`): teacher heads × student heads, and residuals beside.

    Args:
        form: svg or png.

    Raises:
        A2DError: matplotlib is not installed.
    """
    return {
        each.name: _drawn(lambda each=each: _draw_alignment(each, inspection), form) for each in inspection.alignments
    }


def sentence_figures(inspection: Inspection, form: str = "svg") -> dict[str, bytes]:
    """A picture a kind of attention of the inspected sentence, by name (`simplex-cross-sentence`); {} without one."""
    found = inspection.sentence.maps if inspection.sentence else ()
    return {
        f"{maps.term}-{maps.kind}-sentence": _drawn(lambda maps=maps: _draw_sentence(maps, inspection), form)
        for maps in found
    }


def _drawn(draw: Callable[[], Figure], form: str) -> bytes:
    problem = missing_package()
    if problem:
        raise problem
    import matplotlib
    from matplotlib.font_manager import get_font_names

    installed = set(get_font_names())
    settings = {
        "font.family": ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed)],
        "font.size": TEXT,
        "text.parse_math": False,  # a dollar is a dollar
        # Text stays text in an SVG, and what it hashes by is no random number: the same data give the same file.
        "svg.fonttype": "none",
        "svg.hashsalt": "a2d",
        "axes.linewidth": 0.5,
    }
    buffer = io.BytesIO()
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A box stands for it; in an SVG the viewer brings its own fonts.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        draw().savefig(buffer, format=form, dpi=200, metadata={"Date": None} if form == "svg" else {})
    return buffer.getvalue()


class _Canvas:
    """A figure whose parts are placed in inches from its lower left corner."""

    def __init__(self, width: float, height: float):
        from matplotlib.figure import Figure

        self.figure = Figure(figsize=(width, height))
        self._size = width, height

    def axes(self, left: float, bottom: float, width: float, height: float) -> Axes:
        total_width, total_height = self._size
        return self.figure.add_axes(
            (left / total_width, bottom / total_height, width / total_width, height / total_height)
        )

    def text(self, left: float, bottom: float, text: str, **style: object) -> None:
        self.figure.text(left / self._size[0], bottom / self._size[1], text, **style)


# --- alignments


def _draw_alignment(alignment: Alignment, inspection: Inspection) -> Figure:
    """Shares as a heat map; beside it how far each teacher head is from what stands in for it."""
    teacher, student = _Ruler([one.teacher for one in alignment.stand_ins]), _Ruler(alignment.student_heads)
    cell = min(0.22, max(0.13, 6.5 / max(teacher.length, student.length)))  # inches
    width, height, side = cell * student.length, cell * teacher.length, 1.6
    left, bottom, top, gap, right = 0.66, 1.04, 0.78, 0.14, 0.5
    scale_width = max(width, 1.5)
    canvas = _Canvas(max(left + width + gap + side + right, 4.4), bottom + height + top)
    canvas.text(
        left, bottom + height + top - 0.2, _capital(KIND_TITLES[alignment.kind]), fontsize=TEXT + 2, fontweight="bold"
    )
    subtitle = _subtitle(inspection, alignment.term)
    canvas.text(left, bottom + height + top - 0.34, subtitle, color="0.35")

    heat = canvas.axes(left, bottom, width, height)
    largest = max(abs(share) for one in alignment.stand_ins for share in one.shares)
    lowest = 0.0 if alignment.is_mixture else -largest
    for rows, tops in teacher.blocks():
        for columns, edges in student.blocks():
            block = [[alignment.stand_ins[row].shares[column] for column in columns] for row in rows]
            mesh = heat.pcolormesh(
                edges,
                tops,
                block,
                cmap=SEQUENTIAL if alignment.is_mixture else DIVERGING,
                vmin=lowest,
                vmax=largest,
                edgecolors="0.92",
                linewidth=0.25,
            )
    small = min(TEXT, cell * 72 * 0.6)
    heat.set_xlim(0, student.length)
    heat.set_ylim(teacher.length, 0)
    heat.spines[:].set_visible(False)
    heat.tick_params(length=0, pad=1.5, labelsize=small)
    heat.set_xticks(student.centres, [str(head.head) for head in student.heads])
    heat.set_yticks(teacher.centres, [str(head.head) for head in teacher.heads])
    for label, centre in student.layers(cell):
        heat.annotate(label, (centre, 0), (0, -12), ("data", "axes fraction"), "offset points", ha="center", va="top")
    for label, centre in teacher.layers(cell):
        heat.annotate(
            label,
            (0, centre),
            (-11, 0),
            ("axes fraction", "data"),
            "offset points",
            ha="right",
            va="center",
            rotation=90,
        )
    canvas.text(left + width / 2, bottom - 0.4, "student head", ha="center")
    canvas.text(left - 0.5, bottom + height / 2, "teacher head", va="center", rotation=90)

    _draw_residuals(canvas.axes(left + width + gap, bottom, side, height), alignment, teacher, small)
    scale = canvas.figure.colorbar(mesh, cax=canvas.axes(left, 0.36, scale_width, 0.08), orientation="horizontal")
    scale.outline.set_visible(False)
    scale.ax.tick_params(width=0.5, length=2, pad=1.5, labelsize=TEXT - 1)
    scale.set_label("share in the mixture, π" if alignment.is_mixture else "weight W, scaled to Σ|W| = 1", labelpad=1.5)
    if alignment.is_mixture:
        even = 1 / len(student.heads)
        scale.ax.axvline(even, color="black", linewidth=0.8)
        above = scale.ax.get_xaxis_transform()
        scale.ax.text(even, 1.25, f"1/{len(student.heads)}", transform=above, ha="center", fontsize=TEXT - 1)
    return canvas.figure


class _Ruler:
    """Where heads stand along an axis, in cells: the layers a little apart."""

    def __init__(self, heads: Sequence[Head]):
        self.heads = list(heads)
        self._layers = [
            list(group) for _, group in groupby(range(len(heads)), lambda i: (heads[i].member, heads[i].layer))
        ]
        self._layer_of = [number for number, layer in enumerate(self._layers) for _ in layer]
        self.length = len(heads) + LAYER_GAP * (len(self._layers) - 1)

    def _start(self, index: int) -> float:
        return index + LAYER_GAP * self._layer_of[index]

    @property
    def centres(self) -> list[float]:
        return [self._start(index) + 0.5 for index in range(len(self.heads))]

    def blocks(self) -> list[tuple[list[int], list[float]]]:
        """A layer each: its heads, and the edges of their cells."""
        return [(layer, [self._start(layer[0]) + i for i in range(len(layer) + 1)]) for layer in self._layers]

    def layers(self, cell: float) -> list[tuple[str, float]]:
        """Label and centre of each; a label is short where it would not fit (`cell` in inches)."""

        def label(head: Head, room: float) -> str:
            layer = f"layer {head.layer}" if room > 0.4 else f"L{head.layer}"
            if not head.member:
                return layer
            return f"teacher {head.member}, {layer}" if room > 1.0 else f"{head.member}: L{head.layer}"

        return [
            (label(self.heads[layer[0]], cell * len(layer)), (edges[0] + edges[-1]) / 2)
            for layer, edges in self.blocks()
        ]


def _draw_residuals(axes: Axes, alignment: Alignment, teacher: _Ruler, small: float) -> None:
    ones, places = alignment.stand_ins, teacher.centres
    found, single = [one.residual for one in ones], [one.single_residual for one in ones]
    axes.hlines(places, found, single, color="0.75", linewidth=1)
    axes.plot([one.uniform_residual for one in ones], places, "|", color="0.45", markersize=5, label="uniform row")
    hollow = {"color": "C1", "markerfacecolor": "white", "markeredgewidth": 0.9}
    axes.plot(single, places, "o", markersize=3.2, label="closest student head", **hollow)
    axes.plot(found, places, "o", color="C0", markersize=3.2, label="intermediate map")
    axes.set_ylim(teacher.length, 0)
    axes.set_xlim(left=0)
    axes.set_yticks([])
    axes.grid(axis="x", color="0.9", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(width=0.5, length=2, pad=1.5, labelsize=TEXT - 1)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("KL from the teacher's rows (nats)", labelpad=2)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(
        handles[::-1],
        labels[::-1],
        loc="lower left",
        bbox_to_anchor=(-0.03, 1.0),
        borderaxespad=0.1,
        frameon=False,
        handlelength=1,
        handletextpad=0.3,
        labelspacing=0.15,
        fontsize=TEXT - 1,
    )
    beside = ("axes fraction", "data")
    for one, place in zip(ones, places, strict=True):
        text = f"{one.effective_heads:.1f}"
        axes.annotate(text, (1, place), (18, 0), beside, "offset points", ha="right", va="center", fontsize=small)
    axes.annotate(
        "heads\nin use", (1, 1), (18, 3), "axes fraction", "offset points", ha="right", va="bottom", fontsize=TEXT - 1
    )


# --- a sentence


def _draw_sentence(maps: SentenceMaps, inspection: Inspection) -> Figure:
    """A row a teacher head: its map, the intermediate map, and the student heads with the largest shares in that."""
    num_rows, num_columns = len(maps.heads), 2 + len(maps.heads[0].students)
    cell = min(0.2, max(0.09, 1.7 / max(len(maps.queries), len(maps.keys))))  # inches
    small = min(TEXT, cell * 72 * 0.8)
    width, height = cell * len(maps.keys), cell * len(maps.queries)
    step_x, step_y = max(width + 0.14, 0.95), height + 0.36
    left, bottom = (0.44 + 0.62 * small / 72 * max(map(_columns, labels)) for labels in (maps.queries, maps.keys))
    top, right = 0.42, 0.62
    total_width = max(left + step_x * num_columns + right, 4.4)
    total_height = bottom + step_y * num_rows + top
    canvas = _Canvas(total_width, total_height)
    canvas.text(0.1, total_height - 0.2, _capital(KIND_TITLES[maps.kind]), fontsize=TEXT + 2, fontweight="bold")
    subtitle = _subtitle(inspection, maps.term)
    canvas.text(0.1, total_height - 0.34, subtitle, color="0.35")
    for row, head in enumerate(maps.heads):
        y = bottom + step_y * (num_rows - 1 - row)
        for column, (title, matrix) in enumerate(_panels(head, maps.is_mixture)):
            axes = canvas.axes(left + step_x * column, y, width, height)
            cells = _without_future(matrix) if maps.kind == "decoder_self" else matrix
            mesh = axes.pcolormesh(cells, cmap=SEQUENTIAL, vmin=0, vmax=1, edgecolors="0.92", linewidth=0.2)
            axes.invert_yaxis()
            axes.spines[:].set_visible(False)
            axes.tick_params(length=0, pad=1.5, labelsize=small)
            axes.set_title(title, fontsize=TEXT, pad=3)
            centres = [[i + 0.5 for i in range(len(labels))] for labels in (maps.keys, maps.queries)]
            axes.set_xticks(
                centres[0], map(_shown, maps.keys) if row == num_rows - 1 else [""] * len(maps.keys), rotation=90
            )
            axes.set_yticks(centres[1], map(_shown, maps.queries) if column == 0 else [""] * len(maps.queries))
    looking, looked_at = SIDES[maps.kind]
    middle = bottom + (step_y * (num_rows - 1) + height) / 2
    canvas.text(0.16, middle, f"query: {looking}", ha="center", va="center", rotation=90)
    canvas.text(left + (step_x * (num_columns - 1) + width) / 2, 0.1, f"key: {looked_at}", ha="center")
    scale_height = min(1.6, height)
    scale_left = left + step_x * (num_columns - 1) + width + 0.14
    scale = canvas.figure.colorbar(mesh, cax=canvas.axes(scale_left, bottom, 0.08, scale_height))
    scale.outline.set_visible(False)
    scale.ax.tick_params(width=0.5, length=2, pad=1.5, labelsize=TEXT - 1)
    scale.set_label("attention", labelpad=2)
    return canvas.figure


def _without_future(matrix: Matrix) -> list[list[float]]:
    """What is still to be written cannot be looked at: left blank."""
    return [[*row[: query + 1], *[math.nan] * (len(row) - query - 1)] for query, row in enumerate(matrix)]


def _panels(head: HeadMaps, is_mixture: bool) -> list[tuple[str, Matrix]]:
    students = [(f"student {each.head}\n{share_text(each.share, is_mixture)}", each.rows) for each in head.students]
    intermediate = f"intermediate\nKL {head.residual:.2f} nats"
    return [(f"teacher {head.teacher}\n", head.teacher_rows), (intermediate, head.intermediate_rows), *students]


def _columns(token: str) -> int:
    """How wide it is drawn, in Latin characters."""
    return sum(2 if unicodedata.east_asian_width(character) in "FW" else 1 for character in token)


def _subtitle(inspection: Inspection, term: str) -> str:
    return f"{inspection.run} ({term}), update {inspection.update:,}, taught by {inspection.teacher}"


def _shown(token: str) -> str:
    """A piece without the sign that few fonts hold."""
    return token.replace("▁", "_")


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
