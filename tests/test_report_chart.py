"""Charts of `a2d report`: scales and their ticks, lines, dots."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a2d_cli.commands.report_chart import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    DotChart,
    Dots,
    Level,
    Line,
    LineChart,
    Scale,
    draw,
    round_step,
    scale_over,
    thinned,
    tick_text,
)

values = st.lists(
    st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 3)), min_size=1, max_size=13
)


@given(values)
def test_a_scale_shows_all_its_values_and_a_few_ticks(found: list[float]):
    for may_be_log in (False, True):
        scale = scale_over(found, 10.0, 110.0, may_be_log)
        places = [scale.place(value) for value in found]
        assert all(10 <= place <= 110 for place in places)
        assert sorted(places) == [scale.place(value) for value in sorted(found)]
        ticks = scale.ticks()
        assert 1 <= len(ticks) <= 7
        slack = 1e-9 * max(abs(scale.low), abs(scale.high))
        assert all(scale.low - slack <= tick <= scale.high + slack for tick in ticks)


@given(st.floats(1e-9, 1e9))
def test_a_step_is_round_and_at_least_what_is_wanted(wanted: float):
    step = round_step(wanted)
    assert wanted * (1 - 1e-8) <= step <= wanted * 2.5 * (1 + 1e-8)
    assert re.fullmatch(r"[125]\.0+e[+-]\d+", f"{step:.9e}")


def test_ticks_by_hand():
    assert Scale(0, 30, 0, 1).ticks() == [0, 5, 10, 15, 20, 25, 30]
    assert Scale(1.57, 2.13, 0, 1).ticks() == [1.6, 1.7, 1.8, 1.9, 2.0, 2.1]
    assert Scale(0.01, 300, 0, 1, is_log=True).ticks() == pytest.approx([0.01, 0.1, 1, 10, 100])
    assert Scale(0.9, 25, 0, 1, is_log=True).ticks() == [1, 3, 10]
    assert [tick_text(value) for value in (0, 0.02, 3.5, 999, 5000, 20000, 3e6)] == [
        "0",
        "0.02",
        "3.5",
        "999",
        "5,000",
        "20k",
        "3M",
    ]


def test_a_logarithmic_scale_is_taken_for_positive_values_of_very_different_size():
    assert scale_over([1, 19], 0, 1, may_be_log=True).is_log is False
    assert scale_over([1, 20], 0, 1, may_be_log=True).is_log is True
    assert scale_over([0, 20], 0, 1, may_be_log=True).is_log is False
    assert Scale(1, 100, 0, 50, is_log=True).place(10) == pytest.approx(25)


@given(st.lists(st.tuples(st.integers(0, 10**6).map(float), st.floats(-50, 50)), max_size=97), st.integers(1, 23))
def test_thinning_keeps_the_range_and_the_mean(points: list[tuple[float, float]], limit: int):
    thin = thinned(points, limit)
    assert len(thin) <= limit
    if points:
        ys = [y for _, y in points]
        assert all(min(ys) - 1e-9 <= y <= max(ys) + 1e-9 for _, y in thin)
    if points and len(points) % len(thin) == 0 and len(thin) * math.ceil(len(points) / limit) == len(points):
        assert math.fsum(y for _, y in thin) / len(thin) == pytest.approx(math.fsum(ys) / len(ys), abs=1e-6)


def test_what_is_no_number_is_left_out():
    assert thinned([(1, math.nan), (2, 3.0), (3, math.inf), (4, 5.0)], 7) == [(2, 3.0), (4, 5.0)]
    chart = LineChart("BLEU", "updates", [Line("a", [(1, math.nan)], 0)])
    assert "nothing logged" in draw(chart) and "<svg" not in draw(chart)
    assert "nothing measured" in draw(DotChart("BLEU", []))


def test_a_line_by_hand():
    drawn = draw(
        LineChart("validation BLEU", "updates", [Line("ce", [(0, 10), (100, 30)], 1), Line("word", [(100, 20)], 9)])
    )
    # 2 % of room at the sides, 5 % above and below.
    width, height = RIGHT - LEFT, BOTTOM - TOP
    x0, x1 = LEFT + width * 2 / 104, LEFT + width * 102 / 104
    y10, y30 = BOTTOM - height * 1 / 22, BOTTOM - height * 21 / 22
    assert f'class="c1" points="{x0:.1f},{y10:.1f} {x1:.1f},{y30:.1f}"' in drawn
    assert "<title>ce: 30 at 100</title>" in drawn
    # The ninth colour is the first one dashed; each name stands once in the legend.
    assert 'class="c1" stroke-dasharray="6 3"' in drawn
    assert re.findall(r"</svg>([^<]+)</li>", drawn) == ["ce", "word"]


def test_runs_of_one_method_share_an_entry_of_the_legend_and_a_single_name_needs_none():
    lines = [Line("ce", [(0, 1), (5, seed)], 0) for seed in (2, 3)]
    assert "legend" not in draw(LineChart("NLL", "updates", lines))
    assert draw(LineChart("NLL", "updates", [*lines, Line("word", [(0, 1), (5, 4)], 1)])).count("<li>") == 2


def test_values_of_very_different_size_are_said_to_be_on_a_logarithmic_scale():
    assert "<figcaption>terms (logarithmic)</figcaption>" in draw(
        LineChart("terms", "updates", [Line("a", [(1, 0.01), (2, 5)], 0)])
    )


def test_dots_by_hand():
    drawn = draw(
        DotChart("BLEU", [Dots("ce", (10, 20), 15, math.nan, 0), Dots("a2d", (30,), 30, 5.0, 2)], Level("teacher", 40))
    )
    assert drawn.count("<circle") == 3
    assert ">ce  15.00</text>" in drawn and ">a2d  30.00 ± 5.00</text>" in drawn and ">teacher 40.00</text>" in drawn
    assert drawn.count('class="bar c0"') == 1 and drawn.count('class="bar c2"') == 2  # a mean; a mean and its interval


@given(st.text(max_size=13))
def test_names_are_escaped(name: str):
    texts: list[str] = []

    class Reader(HTMLParser):
        def handle_data(self, data: str) -> None:
            texts.append(data)

    Reader().feed(draw(LineChart(name, name, [Line(name, [(1, 2), (3, 4)], 0), Line("b", [(1, 3)], 1)])))
    Reader().feed(draw(DotChart(name, [Dots(name, (1,), 1, math.nan, 0)])))
    joined = "".join(texts)
    assert joined.count(name) >= 2 if name else True
