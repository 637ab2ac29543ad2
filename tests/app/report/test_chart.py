"""Pictures are well-formed SVG that says what it shows, and draws what it is given."""

import re
import xml.etree.ElementTree as ET

import pytest

from app.report import chart
from app.report.chart import Series


def parsed(svg: str) -> ET.Element:
    root = ET.fromstring(svg)
    assert root.tag == "svg"
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == root.findtext("title") != ""
    return root


def test_a_curve_goes_through_its_points_from_the_left() -> None:
    series = [Series("a", ((0, 0.1), (1, 0.5), (2, 0.9))), Series("b", ((1, 0.2), (2, 0.3)))]
    root = parsed(chart.lines(series, "two curves", x="round", y="accuracy", floor=0.0))
    first, second = (each.attrib["points"].split() for each in root.iter("polyline"))
    assert (len(first), len(second)) == (3, 2)
    xs, ys = zip(*(map(float, point.split(",")) for point in first), strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys, reverse=True)  # higher values stand higher, and y grows downwards
    assert first[1].split(",")[0] == second[0].split(",")[0]


def test_one_point_is_drawn_and_a_target_is_a_level() -> None:
    root = parsed(chart.lines([Series("a", ((3, 1.0),))], "one", x="x", y="y", target=2.0))
    assert not list(root.iter("polyline"))
    assert len(list(root.iter("circle"))) == 1
    (level,) = [each for each in root.iter("line") if each.attrib["class"] == "target"]
    assert level.attrib["y1"] == level.attrib["y2"]


def test_columns_stand_on_each_other() -> None:
    series = [Series("in", ((1, 8), (2, 10))), Series("out", ((1, 2), (2, 0)))]
    root = parsed(chart.columns(series, "columns", x="round", y="clients"))
    lower, upper = (
        [box for box in root.iter("rect") if box.attrib["class"] == kind] for kind in ("f0", "f1")
    )
    assert (len(lower), len(upper)) == (2, 1)
    assert float(upper[0].attrib["y"]) + float(upper[0].attrib["height"]) == pytest.approx(
        float(lower[0].attrib["y"]), abs=0.2
    )


def test_bars_are_as_long_as_their_numbers() -> None:
    groups = [Series("up", ((0, 50.0), (1, 100.0)))]
    root = parsed(chart.bars(["r0", "r1"], groups, [["50 B", "100 B"]], "bars"))
    short, long = (float(box.attrib["width"]) for box in root.iter("rect"))
    assert long == pytest.approx(2 * short, abs=0.2)
    assert {"r0", "r1", "50 B", "100 B"} <= {text.text for text in root.iter("text")}


def test_a_histogram_has_a_box_for_every_bin_that_is_not_empty() -> None:
    root = parsed(chart.histogram([0, 5, 10, 0], -2.0, 2.0, "bins", x="value"))
    low, high = (float(box.attrib["height"]) for box in root.iter("rect"))
    assert high == pytest.approx(2 * low, abs=0.2)


def test_texts_are_escaped_wherever_they_come_from() -> None:
    nasty = '"><script>x</script>'
    for svg in (
        chart.lines([Series("a", ((0, 1.0),))], nasty, x=nasty, y=nasty),
        chart.bars([nasty], [Series("a", ((0, 1.0),))], [[nasty]], nasty),
    ):
        parsed(svg)
        assert "<script" not in svg


def test_what_is_no_number_is_not_drawn() -> None:
    assert chart.finite([(0, 1.0), (1, None), (2, float("nan")), (3, float("inf"))]) == ((0, 1.0),)


def test_curves_differ_in_more_than_colour() -> None:
    series = [Series(str(number), ((0, number), (1, number))) for number in range(4)]
    svg = chart.lines(series, "four", x="x", y="y")
    shapes = [re.findall(rf'<(\w+) class="f{number}"', svg)[0] for number in range(4)]
    assert shapes[:2] == ["circle", "rect"]
    assert len(set(re.findall(r'<path class="f\d" d="M[\d. ]+l([^"]+)"', svg))) == 2
