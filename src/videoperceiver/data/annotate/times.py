"""Times in a model's text, against those of the frames it was shown."""

import re
from collections.abc import Sequence

import numpy as np

from videoperceiver.data.annotate.wording import UnusableError

_NUMBER = r"(\d{1,5}(?:\.\d+)?)"
_UNIT = r"\s*(?:s|secs?|seconds?)\b"
_RANGE = re.compile(rf"{_NUMBER}\s*(?:s|secs?|seconds?)?\s*(?:-|–|to|and|until)\s*{_NUMBER}{_UNIT}", re.IGNORECASE)
_TIME = re.compile(rf"{_NUMBER}{_UNIT}", re.IGNORECASE)
_CLOCK = re.compile(r"(?<![\d:])(?:(\d{1,2}):)?(\d{1,2}):(\d{2}(?:\.\d+)?)(?![\d:])")
_LENGTH = re.compile(r"\b(?:for|lasts?|lasting|within|takes?|over|another|every)\s+(?:about\s+|around\s+|roughly\s+|nearly\s+)?$", re.IGNORECASE)
_ROUNDING_S = 0.051
_NEAR_SHARE = 0.25


def times_in(text: str) -> tuple[float, ...]:
    """Moments that a text names, in seconds; lengths ("for 3 seconds") are none."""
    found = [3600 * float(match[1] or 0) + 60 * float(match[2]) + float(match[3]) for match in _CLOCK.finditer(text)]
    for match in _RANGE.finditer(text):
        found += [float(match[1]), float(match[2])]
    for match in _TIME.finditer(_RANGE.sub(" ", text)):
        if not _LENGTH.search(_RANGE.sub(" ", text)[: match.start()]):
            found.append(float(match[1]))
    return tuple(found)


def check_seen(t_s: float, shown_s: Sequence[float]) -> None:
    """Refuses a moment that cannot have been read off the frames.

    It must lie within a quarter of the frames' usual spacing, and a rounding, of a frame.

    Args:
        t_s: seconds.
        shown_s: times of the frames, increasing.

    Raises:
        UnusableError: it is outside the frames, or between them.
    """
    shown = np.asarray(shown_s)
    near = _ROUNDING_S + _NEAR_SHARE * float(np.median(np.diff(shown))) if len(shown) > 1 else _ROUNDING_S
    distance = float(np.abs(shown - t_s).min())
    if distance <= near:
        return
    if not shown[0] <= t_s <= shown[-1]:
        raise UnusableError("a time outside the clip", f"the time {t_s:g} s lies outside the frames, which are from {shown[0]:.1f} to {shown[-1]:.1f} s")
    raise UnusableError("a time of no frame", f"the time {t_s:g} s is that of no frame: the nearest is {distance:.1f} s away")
