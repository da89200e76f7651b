"""Histograms and tables of counts: places by hand, nothing that is not there, nothing that is not escaped."""

import re
from itertools import pairwise

import pytest

from tests.pages.hostile import HOSTILE
from videoperceiver.pages.count_table import CountTable, count_table
from videoperceiver.pages.dataset_card import CardSection, DatasetCard, dataset_markdown, dataset_page
from videoperceiver.pages.histogram import HEIGHT_PX, TOP_PX, Histogram, histograms, spark


def columns_of(html: str) -> list[tuple[float, float, float, str]]:
    """(x, y, height, title) of every column."""
    found = re.findall(r'class="column" x="([\d.]+)%" y="([\d.]+)" width="[\d.]+%" height="([\d.]+)"><title>(.*?)</title>', html)
    return [(float(x), float(y), float(height), title) for x, y, height, title in found]


def test_columns_stand_where_their_bins_are():
    html = histograms([Histogram("Seconds", (0, 1, 2, 5, 10), (4, 0, 2, 1), 1.5, unit=" s")])
    base = TOP_PX + HEIGHT_PX
    expected = [(2.0, TOP_PX, HEIGHT_PX, "0 to 1 s: 4 clips"), (52.0, base - HEIGHT_PX / 2, HEIGHT_PX / 2, "2 to 5 s: 2 clips")]
    assert columns_of(html) == [*expected, (77.0, base - HEIGHT_PX / 4, HEIGHT_PX / 4, "5 to 10 s: 1 clip")]
    assert "1.5 s <span" in html
    assert re.findall(r'text-anchor="(?:start|middle|end)">([^<]*)</text>\n(?=<text x="\d|</svg>\n</div>)', html)[-1] == "10 s"


def test_the_smallest_column_still_shows_and_levels_are_whole():
    html = histograms([Histogram("Clips", (0, 1, 2), (100_000, 1))])
    assert columns_of(html)[1][2] == 1.5
    levels = re.findall(r'dx="-7"[^>]*>([^<]*)<', histograms([Histogram("Clips", (0, 1), (1,))]))
    assert levels == ["0", "1"]


def test_shares_are_percentages_and_what_is_empty_is_not_drawn():
    html = histograms([Histogram("Share", (0, 0.5, 1), (1, 1), 0.25, percent=True), Histogram("Empty", (0, 1), (0,))])
    assert "25\u00a0%" in html
    assert "0\u00a0% to 50\u00a0%: 1 clip" in html
    assert "Empty" not in html
    assert histograms([]) == histograms([Histogram("Empty", (0, 1), (0,))]) == ""


def test_in_one_line_of_text_what_is_there_shows():
    assert spark(Histogram("", range(6), (0, 1, 50, 100, 800))) == "·▁▁▁█"
    assert spark(Histogram("", range(4), (4, 2, 8))) == "▄▂█"
    assert spark(Histogram("", range(3), (0, 0))) == "··"


@pytest.mark.parametrize("bins", [1, 2, 5, 7, 13, 20, 22])
def test_edges_are_named_without_meeting(bins):
    html = str(histograms([Histogram("Many", range(bins + 1), [1] * bins)]))
    marks = [float(x) for x in re.findall(rf'<text x="([\d.]+)%" y="{TOP_PX + HEIGHT_PX + 15}"', html)]
    assert (marks[0], marks[-1]) == (0, 100)
    assert 2 <= len(marks) <= 7
    assert all(b - a >= 12 for a, b in pairwise(marks))


def test_a_table_draws_the_bar_of_its_largest_number_and_escapes():
    html = count_table(CountTable("Rules", ("rule", "dropped", "why"), [("leak", 40, HOSTILE), ("time", 10, None), ("none", None, "x")], bar=1, note="All."))
    assert re.findall(r'bar-part" width="([\d.]+)%"', html) == ["100.00", "25.00"]
    assert "<script>" not in html
    assert "\x1b" not in html
    assert html.count("–") == 2
    assert "1,234,567" in count_table(CountTable("Many", ("a", "b"), [("x", 1_234_567)]))
    assert "(300 characters)" in count_table(CountTable("Long", ("a", "b"), [("x", "y" * 300)]))


def test_a_card_leaves_out_what_is_empty(check_page):
    card = DatasetCard(
        "set",
        "nothing",
        sections=[
            CardSection("a", "Text", sentences=[HOSTILE], histograms=[Histogram("Length", (0, 1, 2), (1, 3), 1.5, unit=" s")]),
            CardSection("b", "Pictures alone"),
        ],
    )
    html = dataset_page(card)
    check_page(html)
    text = dataset_markdown(card)
    assert "## Text\n\n- \\<script\\>" in text
    assert "| Length | 1.5 s | 0 s | ▃█ | 2 s |" in text
    assert "Pictures alone" not in text
