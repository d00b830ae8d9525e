"""The page of `a2d report`: what a report says, as plain data, and that as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TypeAlias

from a2d_cli.commands.report_chart import DotChart, LineChart, draw
from a2d_cli.commands.table import Table

GENERATOR = "a2d report"  # in every page, so that a later one knows what it may replace
NOTHING = ("", "–")  # cells without a value
LONG_CELL = 60  # characters; what is longer breaks into lines
_NUMBER = re.compile(r"[+−~<-]?\d[\d.,:]*( ± \d[\d.,]*| ?(%|M|s|min|h))?")


@dataclass(frozen=True)
class Paragraph:
    text: str


@dataclass(frozen=True)
class Missing:
    """What could stand here, and the command that makes it; all of them are told once more at the top."""

    what: str
    command: str = ""


@dataclass(frozen=True)
class Code:
    text: str


@dataclass(frozen=True)
class Charts:
    """Side by side where there is room."""

    charts: tuple[LineChart | DotChart, ...]


@dataclass(frozen=True)
class Pictures:
    """SVG files by name, at their own size; they are shown as they are, on white."""

    svgs: dict[str, bytes]


@dataclass(frozen=True)
class Example:
    """A sentence in four versions; scores are sentence chrF2."""

    source: str
    reference: str
    teacher: str
    student: str
    teacher_chrf: float
    student_chrf: float


@dataclass(frozen=True)
class Examples:
    examples: tuple[Example, ...]
    src_lang: str
    tgt_lang: str
    teacher: str  # names
    student: str


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader opens; a printed page shows them."""

    title: str
    blocks: tuple[Block, ...]
    is_open: bool = False


SHOWN_MISSING = 4  # at the top of the page; the others unfold

Block: TypeAlias = "Paragraph | Missing | Code | Charts | Pictures | Examples | Fold | Table"


@dataclass(frozen=True)
class Section:
    title: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        return re.sub(r"\W+", "-", self.title.lower())


@dataclass(frozen=True)
class Fact:
    """A number that matters, in large letters."""

    label: str
    value: str
    remark: str = ""


@dataclass(frozen=True)
class Page:
    title: str
    subtitle: str
    facts: tuple[Fact, ...]
    sections: tuple[Section, ...]
    footer: str


def render(page: Page) -> str:
    """A whole HTML document: no script, nothing loaded from anywhere, all text escaped."""
    links = "".join(f'<li><a href="#{each.anchor}">{escape(each.title)}</a></li>' for each in page.sections)
    sections = "\n".join(_section(each) for each in page.sections)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="{GENERATOR}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(page.title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{escape(page.title)}</h1>
<p class="quiet">{escape(page.subtitle)}</p>
{_facts(page.facts)}
<nav><ul>{links}</ul></nav>
{_all_missing(page.sections)}
</header>
<main>
{sections}
</main>
<footer><p class="quiet">{escape(page.footer)}</p></footer>
</body>
</html>
"""


def _facts(facts: Sequence[Fact]) -> str:
    items = [
        f"<div><dt>{escape(each.label)}</dt><dd>{escape(each.value)}<small>{escape(each.remark)}</small></dd></div>"
        for each in facts
    ]
    return f'<dl class="facts">{"".join(items)}</dl>' if items else ""


def _all_missing(sections: Sequence[Section]) -> str:
    found = [(section, block) for section in sections for block in _missing_in(section.blocks)]
    if not found:
        return ""
    items = [
        f'<li><a href="#{section.anchor}">{escape(section.title)}</a>: {_missing_text(block)}</li>'
        for section, block in found
    ]
    shown, folded = items[:SHOWN_MISSING], items[SHOWN_MISSING:]
    rest = f"<details><summary>and {len(folded)} more</summary><ul>{''.join(folded)}</ul></details>" if folded else ""
    return f'<div class="missing"><strong>Not in this report yet</strong><ul>{"".join(shown)}</ul>{rest}</div>'


def _missing_in(blocks: Sequence[Block]) -> Iterator[Missing]:
    for block in blocks:
        if isinstance(block, Missing):
            yield block
        elif isinstance(block, Fold):
            yield from _missing_in(block.blocks)


def _missing_text(block: Missing) -> str:
    return escape(block.what) + (f" <code>{escape(block.command)}</code>" if block.command else "")


def _section(section: Section) -> str:
    return f'<section id="{section.anchor}">\n<h2>{escape(section.title)}</h2>\n{_blocks(section.blocks)}\n</section>'


def _blocks(blocks: Sequence[Block]) -> str:
    return "\n".join(map(_block, blocks))


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case Missing():
            return f'<p class="missing">{_missing_text(block)}</p>'
        case Code(text):
            return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'
        case Charts(charts):
            return f'<div class="charts">{"".join(map(draw, charts))}</div>'
        case Pictures(svgs):
            return f'<div class="pictures">{"".join(_picture(*item) for item in svgs.items())}</div>'
        case Examples():
            return "\n".join(_example(each, block) for each in block.examples)
        case Fold(title, inner, is_open):
            return f"<details{' open' * is_open}><summary>{escape(title)}</summary>\n{_blocks(inner)}\n</details>"
        case _:
            return _table(block)


def _picture(name: str, svg: bytes) -> str:
    data = base64.b64encode(svg).decode("ascii")
    return f'<div class="scroll"><img alt="{escape(name)}" src="data:image/svg+xml;base64,{data}"></div>'


def _table(table: Table) -> str:
    """Columns in which nothing stands are left out."""
    shown = [i for i in range(len(table.columns)) if not table.rows or any(row[i] not in NOTHING for row in table.rows)]
    to_right = {i for i in shown if _is_numeric([row[i] for row in table.rows])}

    def cells(tag: str, texts: Sequence[str]) -> str:
        kinds = {
            i: ' class="number"' if i in to_right else ' class="wide"' if len(texts[i]) > LONG_CELL else ""
            for i in shown
        }
        return "".join(f"<{tag}{kind}>{escape(texts[i])}</{tag}>" for i, kind in kinds.items())

    caption = f"<caption>{escape(table.title)}</caption>" if table.title else ""
    rows = "".join(f"<tr>{cells('td', row)}</tr>\n" for row in table.rows)
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<div class="scroll" tabindex="0"><table>{caption}<thead><tr>{cells("th", table.columns)}</tr></thead>\n'
        f"<tbody>{rows}</tbody></table></div>{note}"
    )


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in NOTHING]
    return bool(filled) and all(map(_NUMBER.fullmatch, filled))


def _example(example: Example, shown: Examples) -> str:
    src, tgt = escape(shown.src_lang), escape(shown.tgt_lang)
    parts = [
        ("source", src, escape(example.source)),
        ("reference", tgt, escape(example.reference)),
        (f"{shown.teacher} · chrF {example.teacher_chrf:.0f}", tgt, marked(example.teacher, example.reference)),
        (f"{shown.student} · chrF {example.student_chrf:.0f}", tgt, marked(example.student, example.reference)),
    ]
    items = [
        f'<div><dt>{escape(label)}</dt><dd lang="{lang}" dir="auto">{text}</dd></div>' for label, lang, text in parts
    ]
    return f'<dl class="example">{"".join(items)}</dl>'


def marked(translation: str, reference: str) -> str:
    """HTML of a translation in which the words that the reference has not (there) are marked."""
    words, expected = translation.split(), reference.split()
    if len(words) < 2:  # one word, or a script without spaces
        return escape(translation)
    matcher = difflib.SequenceMatcher(None, expected, words, autojunk=False)
    pieces = []
    for operation, _, _, begin, end in matcher.get_opcodes():
        text = escape(" ".join(words[begin:end]))
        if text:
            pieces.append(text if operation == "equal" else f"<mark>{text}</mark>")
    return " ".join(pieces)


STYLE = """
:root {
  color-scheme: light dark;
  --ink: #1c2024; --quiet: #5f6873; --paper: #ffffff; --panel: #f5f6f8; --line: #dfe3e8; --shade: #00000024;
  --link: #0b57a4; --mark: #fde7b3; --warn: #fff6e0; --warn-line: #e2a93b;
  --c0: #1f6fb4; --c1: #d9661f; --c2: #2a8f5b; --c3: #b0408a;
  --c4: #8a6d00; --c5: #6a55c2; --c6: #0d8a93; --c7: #b3343c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e4e7eb; --quiet: #9aa4b0; --paper: #15181c; --panel: #1e2227; --line: #343a42; --shade: #ffffff2b;
    --link: #7db8f0; --mark: #5a4713; --warn: #2b2413; --warn-line: #a37a28;
    --c0: #6cb2f0; --c1: #f29a5c; --c2: #63c795; --c3: #e489c3;
    --c4: #d9b93b; --c5: #a99bf2; --c6: #56c9d1; --c7: #f0868c;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body {
  margin: 0 auto; max-width: 72rem; padding: 1.5rem clamp(1rem, 4vw, 2.5rem) 3rem;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", sans-serif;
  color: var(--ink); background: var(--paper); overflow-wrap: break-word;
}
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: 0.5rem 0 0.2rem; letter-spacing: -0.01em; }
h2 { font-size: 1.3rem; margin: 3rem 0 0.8rem; padding-bottom: 0.3rem; border-bottom: 1px solid var(--line); }
p { margin: 0.6rem 0; max-width: 46rem; }
a { color: var(--link); }
.quiet, .note, small { color: var(--quiet); }
.note { font-size: 0.82rem; white-space: pre-line; margin-top: 0.35rem; max-width: 60rem; }
code, pre { font: 0.85em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--panel); border-radius: 6px; padding: 0.8rem 1rem; overflow-x: auto; margin: 0.8rem 0; }
pre code { overflow-wrap: normal; font-size: 1em; }
nav ul {
  display: flex; flex-wrap: wrap; gap: 0.2rem 1.1rem; list-style: none; padding: 0; margin: 1.2rem 0;
  font-size: 0.92rem;
}
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 0.6rem; margin: 1.4rem 0; }
.facts div { background: var(--panel); border-radius: 8px; padding: 0.6rem 0.9rem 0.7rem; }
.facts dt { font-size: 0.8rem; color: var(--quiet); }
.facts dd { margin: 0; font-size: 1.45rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.facts small { display: block; font-size: 0.78rem; line-height: 1.35; }
.missing {
  background: var(--warn); border-left: 3px solid var(--warn-line); border-radius: 4px;
  padding: 0.6rem 0.9rem; max-width: 60rem;
}
.missing ul { margin: 0.3rem 0 0; padding-left: 1.2rem; }
.scroll {
  overflow-x: auto; margin: 0.9rem 0 0;
  background:
    linear-gradient(to left, var(--paper) 40%, transparent) right / 2.5rem 100% no-repeat local,
    linear-gradient(to left, var(--shade), transparent) right / 0.7rem 100% no-repeat scroll;
}
table { border-collapse: collapse; font-size: 0.88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: 0.2rem 0 0.4rem; position: sticky; left: 0; }
th, td { padding: 0.32rem 0.75rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--quiet); font-size: 0.8rem; vertical-align: bottom; }
th:first-child, td:first-child { padding-left: 0; position: sticky; left: 0; background: var(--paper); }
td { white-space: nowrap; }
td.wide { white-space: normal; min-width: 16rem; }
.number { text-align: right; }
tbody tr:last-child td { border-bottom: 0; }
details { border: 1px solid var(--line); border-radius: 8px; margin: 0.6rem 0; padding: 0 1rem; }
details + details { margin-top: -1px; }
details:has(+ details) { margin-bottom: 0; border-bottom-left-radius: 0; border-bottom-right-radius: 0; }
details + details { border-top-left-radius: 0; border-top-right-radius: 0; }
summary { cursor: pointer; padding: 0.55rem 0; font-weight: 500; }
details[open] { padding-bottom: 0.9rem; }
.charts {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr));
  gap: 1.2rem 1.6rem; margin: 1rem 0;
}
figure { margin: 0; }
.chart:only-child { grid-column: 1 / -1; }
figcaption { font-weight: 600; font-size: 0.88rem; margin-bottom: 0.3rem; }
.chart svg { display: block; width: 100%; max-width: 30rem; height: auto; }
.chart text {
  font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; font-variant-numeric: tabular-nums;
}
.axis { fill: var(--quiet); }
.name { fill: var(--ink); white-space: pre; }
.chart text { paint-order: stroke; stroke: var(--paper); stroke-width: 3px; stroke-linejoin: round; }
.grid { stroke: var(--line); stroke-width: 1; }
.level { stroke: var(--quiet); stroke-width: 1.2; stroke-dasharray: 5 4; }
polyline { fill: none; stroke: currentColor; stroke-width: 1.8; stroke-linejoin: round; }
circle { fill: currentColor; }
.faint { opacity: 0.5; }
.bar { stroke: currentColor; stroke-width: 2; }
.legend {
  display: flex; flex-wrap: wrap; gap: 0.1rem 0.9rem; list-style: none; margin: 0.2rem 0 0; padding: 0;
  font-size: 0.8rem;
}
.chart .key { display: inline-block; width: 18px; height: 8px; margin-right: 0.35rem; }
.c0 { color: var(--c0); } .c1 { color: var(--c1); } .c2 { color: var(--c2); } .c3 { color: var(--c3); }
.c4 { color: var(--c4); } .c5 { color: var(--c5); } .c6 { color: var(--c6); } .c7 { color: var(--c7); }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.2rem 0; }
.pictures .scroll { max-width: 100%; margin: 0; background: none; }
.pictures img { display: block; max-width: 100%; min-width: 22rem; background: #fff; border-radius: 6px; }
.example {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); gap: 0.5rem 1.8rem;
  margin: 0; padding: 0.9rem 0; border-bottom: 1px solid var(--line);
}
.example dt { font-size: 0.78rem; color: var(--quiet); }
.example dd { margin: 0; }
mark { background: var(--mark); color: inherit; border-radius: 3px; padding: 0 0.15em; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); font-size: 0.85rem; }
@media print {
  :root {
    --ink: #000; --quiet: #444; --paper: #fff; --panel: #f3f3f3; --line: #ccc; --link: #000; --mark: #eee;
    --warn: #fff; --warn-line: #999;
    --c0: #1f6fb4; --c1: #d9661f; --c2: #2a8f5b; --c3: #b0408a;
    --c4: #8a6d00; --c5: #6a55c2; --c6: #0d8a93; --c7: #b3343c;
  }
  body { font-size: 10pt; max-width: none; padding: 0; }
  nav { display: none; }
  .scroll, pre { overflow: visible; background: none; }
  th:first-child, td:first-child { position: static; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
  table { font-size: 7.5pt; }
  td { white-space: normal; overflow-wrap: break-word; }
  td.wide { overflow-wrap: anywhere; min-width: 12rem; }
  th, td { padding: 0.2rem 0.4rem; }
  .charts { grid-template-columns: repeat(3, 1fr); }
  figure, img, .example, tr, .missing { break-inside: avoid; }
  h2, summary, figcaption { break-after: avoid; }
  mark { text-decoration: underline; }
  details::details-content { content-visibility: visible; display: block; height: auto; }
}
"""
