"""Tables of counts and texts, one look for all pages."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from videoperceiver.pages import words
from videoperceiver.pages.html import render

MAX_CHARS = 240
"""Of a cell of text; what is cut is told."""


@dataclass(frozen=True)
class CountTable:
    """A table of counts, the name of each row first.

    Attributes:
        caption: what is counted.
        heads: of the columns, that of the names first.
        rows: numbers and texts, as many as heads; None where there is no number.
        bar: the column that is drawn as a bar of its largest number, None for none.
        note: a sentence under the caption.
    """

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[object]]
    bar: int | None = None
    note: str = ""


def count_table(table: CountTable) -> Markup:
    """The table; texts are cut, escaped and broken where they are long."""
    numbers = [row[table.bar] for row in table.rows] if table.bar is not None else []
    largest = max((number for number in numbers if isinstance(number, int | float)), default=0) or 1
    rows = [[_cell(cell, table.bar == place, largest) for place, cell in enumerate(row)] for row in table.rows]
    long = [any(cell["long"] for cell in column) for column in zip(*rows, strict=True)] if rows else [False] * len(table.heads)
    return render("count_table", table=table, rows=rows, long=long)


def _cell(value: object, bar: bool, largest: float) -> dict[str, object]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    width = f"{100 * value / largest:.2f}%" if bar and isinstance(value, int | float) else ""
    return {"text": as_text(value), "number": number, "width": width, "long": not number and len(str(value)) > 28}


def as_text(value: object) -> str:
    """A cell as it is read: numbers with separators, texts cut, nothing as a dash."""
    if value is None:
        return words.MISSING
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return words.shorten(words.number(value), MAX_CHARS)
