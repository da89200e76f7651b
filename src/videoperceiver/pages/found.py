"""Moments of a video as a row of pictures."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from videoperceiver.pages.filmstrip import data_uri
from videoperceiver.pages.html import render

_PICTURE_PX = 360


def moments_figure(title: str, moments: Sequence[tuple[np.ndarray, str, float]], note: str) -> Markup:
    """Pictures with their times and scores, best first.

    Args:
        title: what was looked for, in what.
        moments: (frame (H, W, 3) uint8, when, score between 0 and 1) of each.
        note: a line under the title.
    """
    cards = [
        {"image": data_uri(frame, _PICTURE_PX), "when": when, "score": f"{score:.2f}", "share": max(0.0, min(1.0, score))} for frame, when, score in moments
    ]
    return render("found", title=title, cards=cards, note=note)
