"""Small histograms side by side: how a quantity is spread over the clips, one column a bin."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from videoperceiver.pages import words
from videoperceiver.pages.html import render
from videoperceiver.pages.scales import Axis, ticks

HEIGHT_PX, TOP_PX = 96, 8
LABELS = 6
"""Edges that are named, at most."""
BLOCKS = "·▁▂▃▄▅▆▇█"


@dataclass(frozen=True)
class Histogram:
    """How a quantity is spread.

    Attributes:
        title: what is counted, in words.
        edges: (n + 1,) borders of the bins, increasing; columns have one width, so they may grow.
        counts: (n,) clips in each bin; a value on a border belongs to the bin above it, the largest to the last.
        middle: a number said beside the title (the median), None for none.
        percent: the quantity is a share and written as a percentage.
        unit: written behind the last edge.
        noun: what is counted.
    """

    title: str
    edges: Sequence[float]
    counts: Sequence[int]
    middle: float | None = None
    percent: bool = False
    unit: str = ""
    noun: str = "clip"


def histograms(items: Sequence[Histogram]) -> Markup:
    """The panels; nothing where nothing is counted."""
    drawn = [_panel(item) for item in items if sum(item.counts)]
    return render("histograms", panels=drawn) if drawn else Markup("")


def spark(item: Histogram) -> str:
    """A histogram in one line of text, a character a bin; a bin that holds anything shows."""
    highest = max(item.counts) or 1
    return "".join(BLOCKS[-(-count * (len(BLOCKS) - 1) // highest)] for count in item.counts)


def said(item: Histogram, value: float | None) -> str:
    """A number as this quantity is written, with its unit."""
    return f"{_form(item, value)}{item.unit}" if value is not None else words.MISSING


def _panel(item: Histogram) -> dict[str, object]:
    highest, base = max(item.counts), TOP_PX + HEIGHT_PX
    up = Axis(0, highest, base, TOP_PX)
    width = 100 / len(item.counts)
    columns = [_column(item, i, width, up) for i in range(len(item.counts)) if item.counts[i]]
    return {
        "title": item.title,
        "middle": said(item, item.middle) if item.middle is not None else "",
        "height": base + 20,
        "base": base,
        "levels": [(words.number(tick), round(up.place(tick), 1)) for tick in ticks(0, highest, 3) if tick == int(tick)],
        "columns": columns,
        "marks": _marks(item, width),
        "said": f"{item.title}: {words.plural(sum(item.counts), item.noun)} between {_form(item, item.edges[0])} and {_form(item, item.edges[-1])}{item.unit}",
    }


def _column(item: Histogram, i: int, width: float, up: Axis) -> dict[str, object]:
    """One bin as a column with a little air beside it; the smallest still shows."""
    top = min(up.place(item.counts[i]), up.start - 1.5)
    span = f"{_form(item, item.edges[i])} to {_form(item, item.edges[i + 1])}{item.unit}"
    return {
        "x": f"{width * i + 0.08 * width:.3f}%",
        "width": f"{0.84 * width:.3f}%",
        "y": round(top, 1),
        "height": round(up.start - top, 1),
        "said": f"{span}: {words.plural(item.counts[i], item.noun)}",
    }


def _marks(item: Histogram, width: float) -> list[tuple[str, str, str]]:
    """(text, place, anchor) of the named edges: the first, the last and as many between as fit."""
    bins = len(item.counts)
    step = max(1, -(-bins // (LABELS - 1)))
    named = [i for i in range(0, bins + 1, step) if bins - i >= step or i == bins]
    named = named if named[-1] == bins else [*named, bins]
    anchors = ["start", *["middle"] * (len(named) - 2), "end"]
    text = [_form(item, item.edges[i]) for i in named]
    text[-1] += item.unit
    return [(label, f"{width * i:.3f}%", anchor) for label, i, anchor in zip(text, named, anchors, strict=True)]


def _form(item: Histogram, value: float | None) -> str:
    return words.percent(value) if item.percent else words.number(float(f"{value:.3g}")) if value is not None else words.MISSING
