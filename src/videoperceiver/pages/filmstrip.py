"""V over V′ as pictures: which frames are shown, which were replaced, and what they show instead."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup
from PIL import Image

from videoperceiver.pages.html import render
from videoperceiver.pages.words import moment
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


def choose_columns(t_s: Sequence[float], source_idx: Sequence[int], keyframes_idx: Sequence[int], limit: int) -> list[int]:
    """Which frames to show where not all fit: those that explain V′ first, then the widest gaps in time.

    Args:
        t_s: (T,) seconds.
        source_idx: (T,) of the degradation, or empty.
        keyframes_idx: indices of key frames.
        limit: how many at most.

    Returns:
        Indices in order; all of them if they fit.
    """
    if len(t_s) <= limit:
        return list(range(len(t_s)))
    replaced = [i for i, j in enumerate(source_idx) if i != j]
    run_ends = [i for i in replaced if i - 1 not in replaced or i + 1 not in replaced]
    sources = [source_idx[i] for i in run_ends if source_idx[i] != BLANK]
    chosen: list[int] = []
    for index in [*_spread(keyframes_idx, limit // 2), *_spread(run_ends, limit // 3), *_spread(sources, limit // 3), 0, len(t_s) - 1]:
        if index not in chosen and len(chosen) < limit:
            chosen.append(index)
    times = np.asarray(t_s, dtype=float)
    while len(chosen) < limit:
        gap = np.abs(times[:, None] - times[chosen][None]).min(axis=1)  # (T,)
        gap[chosen] = -1
        chosen.append(int(gap.argmax()))
    return sorted(chosen)


def _spread(items: Sequence[int], limit: int) -> list[int]:
    unique = sorted(set(items))
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
    at = {int(index): k for k, index in enumerate(frames_idx if frames_idx is not None else range(len(frames)))}
    if columns is None:
        columns = choose_columns(t_s, source_idx, keyframes_idx, num_columns(frames))
    cells = [_cell(index, at, frames, t_s, source_idx, index in set(keyframes_idx)) for index in columns]
    return render("filmstrip", cells=cells, degraded=len(source_idx) > 0, pixels=max(frames.shape[1:3]) <= PIXEL_ART_PX)


def _cell(index: int, at: dict[int, int], frames: np.ndarray, t_s: Sequence[float], source_idx: Sequence[int], keyframe: bool) -> dict[str, object]:
    source = int(source_idx[index]) if len(source_idx) else index
    time = moment(float(t_s[index]))
    image = _image(index, at, frames)
    cell = {"time": time, "keyframe": keyframe, "image": image, "alt": f"V at {time} s{', key frame' if keyframe else ''}"}
    if source == index:
        return {**cell, "replaced": False, "origin": "", "image_degraded": image, "alt_degraded": f"V′ at {time} s, unchanged"}
    origin = "blank" if source == BLANK else f"← {moment(float(t_s[source]))} s"
    shows = "a blank frame" if source == BLANK else f"the frame of {moment(float(t_s[source]))} s"
    return {**cell, "replaced": True, "origin": origin, "image_degraded": _image(source, at, frames), "alt_degraded": f"V′ at {time} s, shows {shows}"}


def _image(index: int, at: dict[int, int], frames: np.ndarray) -> str | None:
    """The picture of a frame, None where the caller has no thumbnail of it."""
    if index == BLANK:
        return data_uri(np.full_like(frames[0], GREY))
    return data_uri(frames[at[index]]) if index in at else None
