"""Relevance over time: the curve of V, the faint curve of V′, key frames, replaced stretches and annotated events."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from videoperceiver.pages.html import render
from videoperceiver.pages.scales import Axis, bounds, clock_ticks, lines, ticks
from videoperceiver.pages.words import MINUS, at, number, shorten
from videoperceiver.types import Span

HEIGHT_PX, LANE_PX, TOP_PX = 124, 22, 24
REFERENCE_WIDTH_PX = 640.0
"""Width for which label collisions are judged: that of the narrowest figure, which scrolls below it."""
CHAR_PX = 6.6
LABEL_CHARS = 44
"""A longer label is cut in the figure; the whole of it is in its tooltip."""


def timeline(
    t_s: Sequence[float],
    scores: Sequence[float],
    keyframes_idx: Sequence[int] = (),
    spans: Sequence[Span] = (),
    degraded_scores: Sequence[float] = (),
    *,
    replaced_idx: Sequence[int] = (),
    shown_idx: Sequence[int] = (),
) -> Markup:
    """The curve of a clip.

    Args:
        t_s: (T,) source seconds.
        scores: (T,) relevance of V; empty where it was not measured, then only times and events are drawn.
        keyframes_idx: indices into t_s.
        spans: annotated events, drawn as labelled bars over the curve.
        degraded_scores: (T,) relevance of V′, or empty.
        replaced_idx: frames that V′ replaces, shaded.
        shown_idx: frames of the filmstrip below, joined to their columns by hairlines.
    """
    times = np.asarray(t_s, dtype=float)
    across = Axis(*_extent(times, spans), 0.6, 99.4)
    bars, num_lanes = _lanes(spans, across)
    top = num_lanes * LANE_PX + TOP_PX
    low, high = bounds(np.concatenate([np.asarray(scores, float), np.asarray(degraded_scores, float)]), pad=0.08)
    up = Axis(low, high, top + HEIGHT_PX if len(scores) else top + 8, top)
    return render(
        "timeline",
        height=up.start + 22,
        base=up.start,
        top=top,
        bars=bars,
        lane=LANE_PX,
        bands=[(across.percent(a), f"{across.place(b) - across.place(a):.3f}%") for a, b in _stretches(times, replaced_idx)],
        curve=lines(times, scores, across, up) if len(scores) else [],
        degraded=lines(times, degraded_scores, across, up) if len(degraded_scores) else [],
        levels=[(number(tick), up.place(tick)) for tick in ticks(low, high, 4)] if len(scores) else [],
        keys=_keys(times, scores, keyframes_idx, across, up),
        marks=_marks(across),
        leaders=[(across.percent(times[i]), f"{100 * (k + 0.5) / len(shown_idx):.3f}%", i in set(replaced_idx)) for k, i in enumerate(shown_idx)],
        summary=_summary(times, keyframes_idx, spans, replaced_idx),
    )


def _anchor(place: float) -> str:
    """Labels at the ends stay inside the figure."""
    return "start" if place < 3.5 else "end" if place > 96.5 else "middle"


def _marks(across: Axis) -> list[tuple[str, str, str]]:
    """Labels of the time axis: seconds, or minutes and seconds where the clip reaches a minute."""
    clock = max(abs(across.low), abs(across.high)) >= 60
    marks = clock_ticks(across.low, across.high) if clock else ticks(across.low, across.high, 8)
    text = [_minutes(tick) if clock else number(round(tick, 6)) for tick in marks]
    text[-1] += "" if clock else " s"
    return [(label, across.percent(tick), _anchor(across.place(tick))) for label, tick in zip(text, marks, strict=True)]


def _minutes(t_s: float) -> str:
    whole = round(t_s)
    hours, rest = divmod(abs(whole), 3600)
    text = f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
    return f"{MINUS}{text}" if whole < 0 else text


def _extent(times: np.ndarray, spans: Sequence[Span]) -> tuple[float, float]:
    edges = [*times[:1], *times[-1:], *(span.start_s for span in spans), *(span.end_s for span in spans)]
    return (min(edges), max(edges)) if edges else (0.0, 1.0)


def _stretches(times: np.ndarray, replaced_idx: Sequence[int]) -> list[tuple[float, float]]:
    """Contiguous replaced frames as stretches of time, each frame reaching half-way to its neighbours."""
    middle = (times[1:] + times[:-1]) / 2
    left, right = np.concatenate([times[:1], middle]), np.concatenate([middle, times[-1:]])
    stretches: list[tuple[float, float]] = []
    for i in sorted(replaced_idx):
        if stretches and stretches[-1][1] == left[i]:
            stretches[-1] = (stretches[-1][0], float(right[i]))
        else:
            stretches.append((float(left[i]), float(right[i])))
    return stretches


def _lanes(spans: Sequence[Span], across: Axis) -> tuple[list[dict[str, object]], int]:
    """Annotated events as bars, stacked so that none meets another's label; a label stands inside its bar, else after it, else before it."""
    ends: list[float] = []
    bars: list[dict[str, object]] = []
    for span in sorted(spans, key=lambda item: item.start_s):
        start, end = across.place(span.start_s), across.place(span.end_s)
        label = shorten(span.label or "event", LABEL_CHARS)
        width = 100 * (len(label) * CHAR_PX + 14) / REFERENCE_WIDTH_PX
        if width <= end - start or (end + width > 100 and start - width < 0):
            at, anchor, left, right = start, "start", start, max(end, start + width)
        elif end + width <= 100:
            at, anchor, left, right = end, "start", start, end + width
        else:
            at, anchor, left, right = start, "end", start - width, end
        lane = next((k for k, used in enumerate(ends) if used < left), len(ends))
        ends[lane : lane + 1] = [right + 0.5]
        bar = {"x": f"{start:.3f}%", "width": f"{max(end - start, 0.4):.3f}%", "lane": lane, "at": f"{at:.3f}%", "anchor": anchor}
        bars.append({**bar, "label": label, "full": span.label})
    return bars, len(ends)


def _keys(times: np.ndarray, scores: Sequence[float], keyframes_idx: Sequence[int], across: Axis, up: Axis) -> list[dict[str, object]]:
    """Key frames as dots; times are written beside as many as do not meet, the highest first."""
    height = {int(i): float(scores[i]) if len(scores) else 0.0 for i in keyframes_idx}
    labelled: list[float] = []
    keys = []
    for i in sorted(height, key=lambda index: -height[index]):
        place = across.place(times[i])
        free = all(abs(place - other) > 100 * 48 / REFERENCE_WIDTH_PX for other in labelled)
        labelled += [place] if free else []
        y = up.place(height[i]) if len(scores) and np.isfinite(height[i]) else up.start
        keys.append({"x": f"{place:.3f}%", "y": round(y, 1), "label": at(float(times[i])) if free else "", "anchor": _anchor(place)})
    return keys


def _summary(times: np.ndarray, keyframes_idx: Sequence[int], spans: Sequence[Span], replaced_idx: Sequence[int]) -> str:
    keys = ", ".join(at(float(times[i])) for i in list(keyframes_idx)[:12]) or "none"
    events = "; ".join(f"{shorten(span.label or 'event', 60)} {at(span.start_s)} to {at(span.end_s)}" for span in spans) or "none"
    return f"Relevance over {len(times)} frames. Key frames: {keys}. Annotated events: {events}. Frames replaced in V′: {len(replaced_idx)}."
