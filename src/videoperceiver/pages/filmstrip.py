"""V over V′ as pictures: which frames are shown, which were replaced, and what they show instead."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from videoperceiver.pages.html import render
from videoperceiver.pages.words import at
from videoperceiver.types import BLANK

THUMBNAIL_PX = 176
PIXEL_ART_PX = 64
"""Frames no larger than this are shown unsmoothed and stored without loss."""
GREY = 128


def data_uri(frame: np.ndarray, max_px: int = THUMBNAIL_PX) -> str:
    """A frame as an image inside the page.

    Args:
        frame: (H, W, 3) uint8.
        max_px: longest side in the page; larger frames are scaled down.
    """
    image = Image.fromarray(np.ascontiguousarray(frame))
    image.thumbnail((max_px, max_px), Image.Resampling.LANCZOS)
    form, options = ("PNG", {"optimize": True}) if max(frame.shape[:2]) <= PIXEL_ART_PX else ("WEBP", {"quality": 74, "method": 4})
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def num_columns(frames: np.ndarray) -> int:
    """How many frames fit side by side and can still be seen: fewer where they are wide."""
    height_px, width_px = frames.shape[1:3]
    return 16 if width_px <= 1.2 * height_px else 10


def choose_columns(t_s: Sequence[float], source_idx: Sequence[int], keyframes_idx: Sequence[int], limit: int, among: Sequence[int] | None = None) -> list[int]:
    """Which frames to show where not all fit: those that explain V′ first, then the widest gaps in time.

    Args:
        t_s: (T,) seconds.
        source_idx: (T,) of the degradation, or empty.
        keyframes_idx: indices of key frames.
        limit: how many at most.
        among: the frames that can be shown; None for all.

    Returns:
        Indices in order; all of them if they fit.
    """
    allowed = sorted(set(range(len(t_s)) if among is None else (int(index) for index in among)))
    if len(allowed) <= limit:
        return allowed
    can = set(allowed)
    replaced = [i for i, j in enumerate(source_idx) if i != j]
    run_ends = [i for i in replaced if i - 1 not in replaced or i + 1 not in replaced]
    sources = [source_idx[i] for i in run_ends if source_idx[i] != BLANK]
    wanted = (_within(can, keyframes_idx, limit // 2), _within(can, run_ends, limit // 3), _within(can, sources, limit // 3), [allowed[0], allowed[-1]])
    chosen = list(dict.fromkeys(index for group in wanted for index in group))[:limit]
    times = np.asarray(t_s, dtype=float)[allowed]  # (A,)
    while len(chosen) < limit:
        gap = np.abs(times[:, None] - np.asarray([t_s[index] for index in chosen])).min(axis=1)  # (A,)
        gap[[allowed.index(index) for index in chosen]] = -1
        chosen.append(allowed[int(gap.argmax())])
    return sorted(chosen)


def _within(allowed: set[int], items: Sequence[int], limit: int) -> list[int]:
    """At most `limit` of the allowed items, spread evenly."""
    unique = sorted({int(item) for item in items} & allowed)
    return unique if len(unique) <= limit else [unique[round(k)] for k in np.linspace(0, len(unique) - 1, max(limit, 1))]


def filmstrip(
    frames: np.ndarray,
    t_s: Sequence[float],
    source_idx: Sequence[int] = (),
    *,
    keyframes_idx: Sequence[int] = (),
    frames_idx: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
) -> Markup:
    """V over V′, frame above frame, every replaced frame outlined and labelled with the time it was taken from.

    Args:
        frames: (N, H, W, 3) uint8 thumbnails.
        t_s: (T,) seconds of all frames of the clip.
        source_idx: (T,) frame i of V′ shows frame source_idx[i] of V (`types.BLANK`: grey); empty for a clip without V′.
        keyframes_idx: marked above V.
        frames_idx: (N,) which frames of the clip the thumbnails show; None where N = T.
        columns: which frames to show, None to choose as many as can be seen.
    """
    place = {int(index): k for k, index in enumerate(frames_idx if frames_idx is not None else range(len(frames)))}
    if columns is None:
        columns = choose_columns(t_s, source_idx, keyframes_idx, num_columns(frames))
    cells = [_cell(index, place, frames, t_s, source_idx, index in set(keyframes_idx)) for index in columns]
    return render("filmstrip", cells=cells, degraded=len(source_idx) > 0, pixels=max(frames.shape[1:3]) <= PIXEL_ART_PX)


def _cell(index: int, place: dict[int, int], frames: np.ndarray, t_s: Sequence[float], source_idx: Sequence[int], keyframe: bool) -> dict[str, object]:
    source = int(source_idx[index]) if len(source_idx) else index
    time = at(float(t_s[index]))
    image = _image(index, place, frames)
    cell = {"time": time, "keyframe": keyframe, "image": image, "alt": f"V at {time}{', key frame' if keyframe else ''}"}
    if source == index:
        return {**cell, "replaced": False, "origin": "", "image_degraded": image, "alt_degraded": f"V′ at {time}, unchanged"}
    origin = "blank" if source == BLANK else f"← {at(float(t_s[source]))}"
    shows = "a blank frame" if source == BLANK else f"the frame of {at(float(t_s[source]))}"
    return {**cell, "replaced": True, "origin": origin, "image_degraded": _image(source, place, frames), "alt_degraded": f"V′ at {time}, shows {shows}"}


def _image(index: int, place: dict[int, int], frames: np.ndarray) -> str | None:
    """The picture of a frame, None where the caller has no thumbnail of it."""
    if index == BLANK:
        return data_uri(np.full_like(frames[0], GREY))
    return data_uri(frames[place[index]]) if index in place else None
