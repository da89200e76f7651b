"""Training curves as small multiples: one scalar a panel, one line a run, raw values faint behind the moving mean."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from markupsafe import Markup

from videoperceiver.pages import words
from videoperceiver.pages.figures import CurveGroup, CurvePanel, Rows
from videoperceiver.pages.html import render
from videoperceiver.pages.scales import Axis, bounds, lines, smooth, ticks

HEIGHT_PX, TOP_PX = 104, 16
SMOOTH_FROM = 40
"""Rows from which a moving mean is drawn over the raw values."""


def curves(group: CurveGroup) -> Markup:
    """The panels of one stage.

    Panels whose key is in no row are named under the figure rather than drawn empty.
    """
    drawn = [(panel, data) for panel in group.panels if (data := _data(group.series, panel.key))]
    missing = [panel.title for panel in group.panels if panel not in [item for item, _ in drawn]]
    return render(
        "curves",
        group=group,
        panels=[_panel(panel, data) for panel, data in drawn],
        names=list(group.series),
        missing=missing,
        smoothed=any(_smoothed(panel, y) for panel, data in drawn for _, _, y in data),
    )


def _smoothed(panel: CurvePanel, values: np.ndarray) -> bool:
    """Whether a moving mean is drawn over these values."""
    return panel.noisy and len(values) >= SMOOTH_FROM


def _data(series: Mapping[str, Rows], key: str) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """(index of the series, steps, values) of every series that logged the key."""
    found = []
    for index, rows in enumerate(series.values()):
        pairs = [(row["step"], row[key]) for row in rows if isinstance(row.get("step"), int | float) and isinstance(row.get(key), int | float)]
        pairs = [(float(step), float(value)) for step, value in pairs]  # type: ignore[arg-type]
        if any(math.isfinite(value) for _, value in pairs):
            found.append((index, np.array([step for step, _ in pairs]), np.array([value for _, value in pairs])))
    return found


def _panel(panel: CurvePanel, data: Sequence[tuple[int, np.ndarray, np.ndarray]]) -> dict[str, object]:
    means = [smooth(y, max(5, len(y) // 12)) if _smoothed(panel, y) else y for _, _, y in data]
    raw = np.concatenate([y[np.isfinite(y)] for _, _, y in data])
    low, high = bounds(np.concatenate([*means, np.percentile(raw, [2, 98])]))
    up = Axis(low, high, TOP_PX + HEIGHT_PX, TOP_PX)
    steps = np.concatenate([x for _, x, _ in data])
    across = Axis(float(steps.min()), float(steps.max()))
    form = (lambda value: words.percent(value)) if panel.percent else (lambda value: words.number(float(f"{value:.3g}")))
    last = [(index, form(float(mean[np.isfinite(mean)][-1]))) for (index, _, _), mean in zip(data, means, strict=True)]
    return {
        "title": panel.title,
        "height": TOP_PX + HEIGHT_PX + 20,
        "base": TOP_PX + HEIGHT_PX,
        "top": TOP_PX,
        "faint": [(index, lines(x, np.clip(y, low, high), across, up)) for index, x, y in data if _smoothed(panel, y)],
        "strong": [(index, lines(x, mean, across, up)) for (index, x, _), mean in zip(data, means, strict=True)],
        "levels": [(form(tick), round(up.place(tick), 1)) for tick in ticks(low, high, 4)],
        "marks": [(words.number(float(edge)), f"{place}%") for edge, place in ((across.low, 0), (across.high, 100))],
        "last": last,
        "said": f"{panel.title} over steps {across.low:.0f} to {across.high:.0f}; last value {', '.join(value for _, value in last)}.",
    }
