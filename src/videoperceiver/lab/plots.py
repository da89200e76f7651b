"""Plots of the findings as SVG files: one scale, readable in light and dark, no fonts or scripts loaded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1a1c20}.quiet{fill:#5a616c;font-size:12px}.head{font-weight:600}"
    ".grid{stroke:#e2e5ea}.zero{stroke:#868d99;stroke-width:1.5}.bar{stroke:#868d99;stroke-width:2.5}.dot{fill:#868d99}.seed{fill:#868d99;opacity:.45}"
    ".good .bar{stroke:#b5430b}.good .dot{fill:#b5430b}.bad .bar{stroke:#3557a8}.bad .dot{fill:#3557a8}.paper{fill:#fff}"
    "@media(prefers-color-scheme:dark){text{fill:#e8eaed}.quiet{fill:#a2a9b4}.grid{stroke:#2a2f37}.paper{fill:#121417}"
    ".good .bar{stroke:#ff9a61}.good .dot{fill:#ff9a61}.bad .bar{stroke:#8fb0ff}.bad .dot{fill:#8fb0ff}}"
)
WIDTH, LABEL, ROW, TOP = 900, 430, 24, 44
"""Pixels: of the figure, of the labels' column, of a row, above the first row."""


@dataclass(frozen=True)
class Mark:
    """One row of a plot.

    Attributes:
        label: what it is about; a row without a value is a heading.
        value: where the dot is, None for a heading or what was not measured.
        low, high: of the interval; None draws none.
        dots: further values (one a seed), drawn faint.
        tone: "good", "bad" or "".
        note: after the label, quiet.
    """

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    dots: tuple[float, ...] = ()
    tone: str = ""
    note: str = ""


def rows_plot(marks: Sequence[Mark], *, title: str, axis: str, zero: bool, limits: tuple[float, float] | None = None) -> str:
    """Dots with intervals on one horizontal scale, a row each.

    Args:
        marks: from top to bottom.
        title: above the plot.
        axis: what the scale shows, with its unit.
        zero: draw a line at 0 (differences).
        limits: of the scale; None = what the marks need.
    """
    values = [v for m in marks for v in (m.value, m.low, m.high, *m.dots) if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = limits or (min(values), max(values))
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    step = _step(high - low)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    height = TOP + ROW * len(marks) + 40

    def x(value: float) -> float:
        return round(LABEL + (WIDTH - LABEL - 24) * (min(max(value, low), high) - low) / ((high - low) or 1), 1)

    bottom = TOP + ROW * len(marks)
    parts = [f'<rect class="paper" width="{WIDTH}" height="{height}"/>', f'<text class="head" x="8" y="22">{escape(title)}</text>']
    for i in range(round((high - low) / step) + 1):
        tick = low + i * step
        parts.append(f'<line class="grid" x1="{x(tick)}" x2="{x(tick)}" y1="{TOP - 6}" y2="{bottom}"/>')
        parts.append(f'<text class="quiet" x="{x(tick)}" y="{bottom + 16}" text-anchor="middle">{_number(tick, sign=zero)}</text>')
    if zero:
        parts.append(f'<line class="zero" x1="{x(0)}" x2="{x(0)}" y1="{TOP - 6}" y2="{bottom}"/>')
    parts.append(f'<text class="quiet" x="{(LABEL + WIDTH) / 2}" y="{bottom + 33}" text-anchor="middle">{escape(axis)}</text>')
    parts += [_row(mark, TOP + ROW * i + ROW / 2, x) for i, mark in enumerate(marks)]
    opening = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(title)}">'
    return f"{opening}<style>{STYLE}</style>{''.join(parts)}</svg>\n"


def _row(mark: Mark, y: float, x) -> str:  # noqa: ANN001 - a closure over the scale
    heading = mark.value is None and not mark.note
    label = f'<text class="{"head" if heading else ""}" x="8" y="{y + 4}">{escape(mark.label)}'
    label += (f' <tspan class="quiet">{escape(mark.note)}</tspan>' if mark.note else "") + "</text>"
    if mark.value is None or not math.isfinite(mark.value):
        return label
    drawn = "".join(f'<circle class="seed" cx="{x(value)}" cy="{y}" r="3"/>' for value in mark.dots)
    if mark.low is not None and mark.high is not None and math.isfinite(mark.low):
        drawn += f'<line class="bar" x1="{x(mark.low)}" x2="{x(mark.high)}" y1="{y}" y2="{y}"/>'
    return f'{label}<g class="{mark.tone}">{drawn}<circle class="dot" cx="{x(mark.value)}" cy="{y}" r="5"/></g>'


def _step(span: float) -> float:
    """A round distance between ticks, about six of them."""
    if span <= 0:
        return 1.0
    raw = span / 6
    unit = 10 ** math.floor(math.log10(raw))
    return next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw * 0.99)


def _number(value: float, *, sign: bool) -> str:
    text = f"{value:+.10g}" if sign and abs(value) > 1e-12 else f"{abs(value) if abs(value) < 1e-12 else value:.10g}"
    return text.replace("-", "\u2212")
