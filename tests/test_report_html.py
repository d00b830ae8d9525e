"""The page of `a2d report`: whole, safe, readable without anything else."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from a2d_cli.commands.report_chart import Line, LineChart
from a2d_cli.commands.report_html import (
    STYLE,
    Charts,
    Code,
    Example,
    Examples,
    Fact,
    Fold,
    Missing,
    Page,
    Paragraph,
    Pictures,
    Section,
    marked,
    render,
)
from a2d_cli.commands.table import Table

NASTY = """<script>alert("x")</script> & 'quotes' </td></details> &amp; ]]> <img src=http://x.example/y>"""
WITHOUT_END = {"meta", "img"}


class Read(HTMLParser):
    """Checks that tags are balanced; keeps texts, tags and what would be loaded."""

    def __init__(self, html: str):
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.targets: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in WITHOUT_END:
            self._open.append(tag)
        self.targets += [
            value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action", "poster")
        ]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(*blocks: object, title: str = "Data") -> Page:
    return Page("t", "s", (), (Section(title, blocks),), "f")  # type: ignore[arg-type]


def everything(text: str) -> Page:
    """A page with `text` wherever text can stand."""
    example = Example(text, text, text, text, 71.0, 13.0)
    blocks = (
        Paragraph(text),
        Missing(text, text),
        Code(text),
        Charts((LineChart(text, text, [Line(text, [(1, 2), (3, 5)], 0), Line("b", [(1, 2)], 1)]),)),
        Pictures({text: b"<svg/>"}),
        Examples((example,), text, text, text, text),
        Fold(text, (Table(text, [text, text], [[text, "1"], ["–", text]], text),)),
    )
    return Page(text, text, (Fact(text, text, text),), (Section(text, blocks),), text)


@given(st.text(max_size=23))
def test_whatever_a_text_holds_the_page_is_whole(text: str):
    plain = Read(render(everything("plain")))
    found = Read(render(everything(text)))
    assert found.tags == plain.tags or len(text.split()) != 1  # words are marked one by one
    assert text in "".join(found.texts)


def test_nothing_of_a_corpus_becomes_markup():
    html = render(everything(NASTY))
    found = Read(html)
    assert "script" not in found.tags
    assert "<script" not in html and "<img src=http" not in html
    assert NASTY in "".join(found.texts)


def test_nothing_is_loaded_from_anywhere():
    html = render(everything(NASTY))
    targets = Read(html).targets
    assert len(targets) > 2
    assert all(target.startswith(("#", "data:image/svg+xml;base64,")) for target in targets)
    assert "default-src 'none'" in html
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style


def test_the_page_follows_the_readers_light_paper_and_screen():
    html = render(page(Paragraph("x")))
    for told in (
        "prefers-color-scheme: dark",
        "@media print",
        'name="viewport"',
        'lang="en"',
        '<meta charset="utf-8">',
    ):
        assert told in html


def test_on_paper_only_cells_that_are_long_break_inside_words():
    paper = STYLE.partition("@media print")[2]
    assert "td { white-space: normal; overflow-wrap: break-word; }" in paper
    assert "td.wide { overflow-wrap: anywhere; min-width: 12rem; }" in paper  # else a hash beside an address is cut off


def test_many_things_that_are_missing_unfold():
    html = render(page(*(Missing(f"thing {number}", "") for number in range(7))))
    top = html[html.index("Not in this report yet") : html.index("</details>")]
    assert "<summary>and 3 more</summary>" in top
    assert top.index("thing 3") < top.index("<details>") < top.index("thing 4") < top.index("thing 6")


def test_what_is_missing_is_told_where_it_would_stand_and_at_the_top():
    html = render(page(Fold("inner", (Missing("Scores:", "a2d score"),)), title="Comparison of models"))
    assert html.count("Scores: <code>a2d score</code>") == 2
    assert '<li><a href="#comparison-of-models">Comparison of models</a>: Scores:' in html
    assert '<section id="comparison-of-models">' in html
    assert "Not in this report yet" not in render(page(Paragraph("x")))


def test_a_table_sets_numbers_to_the_right_and_leaves_out_columns_without_values():
    html = render(
        page(
            Table("T", ["run", "BLEU", "NLL", "note"], [["a", "12.5 ± 0.3", "–", "x" * 61], ["b", "–", "", "2 words"]])
        )
    )
    assert '<th class="number">BLEU</th>' in html and '<td class="number">12.5 ± 0.3</td>' in html
    assert "NLL" not in html
    assert f'<td class="wide">{"x" * 61}</td>' in html and "<td>2 words</td>" in html


def test_a_table_without_rows_keeps_its_head():
    assert "<th>run</th>" in render(page(Table("", ["run"], [])))


def test_a_picture_is_inside_the_page():
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    assert f"base64,{base64.b64encode(svg).decode()}" in render(page(Pictures({"cross": svg})))


def test_words_that_the_reference_has_not_are_marked():
    assert (
        marked("the old <b> dog sleeps", "the old dog slept")
        == "the old <mark>&lt;b&gt;</mark> dog <mark>sleeps</mark>"
    )
    assert marked("dog the", "the dog") in ("<mark>dog</mark> the", "dog <mark>the</mark>")
    assert marked("", "the dog") == "" and marked("die", "the dog") == "die"
    assert marked("same words", "same words") == "same words"


@given(st.text(max_size=31), st.text(max_size=31))
def test_marking_changes_no_word(translation: str, reference: str):
    texts = "".join(Read(f"<p>{marked(translation, reference)}</p>").texts)
    assert texts.split() == translation.split()
