"""Several choices of frames of one video for the price of one decode."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from videoperceiver.errors import BudgetError, VideoReadError
from videoperceiver.types import Clip
from videoperceiver.video.picture import SizePx
from videoperceiver.video.read import MAX_FRAMES
from videoperceiver.video.select import TOLERANCE_S, check_request, select
from videoperceiver.video.source import Source, name_of, reading
from videoperceiver.video.track import open_track


def read_views(
    source: Source,
    views: Sequence[Mapping[str, Any]],
    *,
    size_px: SizePx = None,
    frame_fps: float | None = None,
    num_threads: int = 0,
) -> list[Clip]:
    """One clip a view, each as `read.read_clip` would give it.

    Args:
        source: as there.
        views: `fps`, `num_frames`, `t_s`, `span` and `max_frames` of each, as there.
        size_px: as there.
        frame_fps: as there.
        num_threads: as there.

    Raises:
        VideoReadError, BudgetError, ValueError: as `read_clip` does, for any of them.
    """
    limits = [view.get("max_frames", MAX_FRAMES) for view in views]
    views = [{name: value for name, value in view.items() if name != "max_frames"} for view in views]
    for view in views:
        check_request(**view)
    name = name_of(source)
    with reading(name), open_track(source, frame_fps=frame_fps, num_threads=num_threads) as track:
        chosen = [select(track.times_s, name=name, **view) for view in views]
        for idx, most in zip(chosen, limits, strict=True):
            if len(idx) > most:
                raise BudgetError(f"{len(idx)} frames asked for; expected at most max_frames={most}. Ask for fewer, or raise it", path=name)
        pairs = [(np.ascontiguousarray(pixels), at_s) for pixels, at_s in track.frames(np.unique(np.concatenate(chosen)), size_px)]
        frames, times_s = np.stack([pixels for pixels, _ in pairs]), np.array([at_s for _, at_s in pairs])
        clips = []
        for view, idx in zip(views, chosen, strict=True):
            shown = np.unique(np.searchsorted(times_s, track.times_s[idx] + TOLERANCE_S / 2, side="right") - 1)  # of a lost picture, the one before it
            shown = shown[shown >= 0]
            if view.get("t_s") is not None and len(shown) < len(idx):
                raise VideoReadError(f"{len(idx) - len(shown)} of the {len(idx)} frames asked for by time do not decode", path=name)
            clips.append(Clip(frames[shown], times_s[shown], name, track.assumed))
    return clips
