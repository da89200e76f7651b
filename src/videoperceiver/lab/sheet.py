"""Contact sheets: a row of frames a scene, enlarged, event frames marked; for eyes, documents and reports."""

from collections.abc import Sequence

import numpy as np

from videoperceiver.lab.render import Scene, render
from videoperceiver.lab.tasks import event_frames

PAPER, MARK = (255, 255, 255), (214, 39, 40)


def contact_sheet(scenes: Sequence[Scene], *, num_columns: int = 16, scale: int = 3) -> np.ndarray:
    """Draw scenes as rows of frames.

    Args:
        scenes: of one size.
        num_columns: frames a row; of a longer clip, those around its first event.
        scale: each pixel becomes scale x scale pixels, unblurred.

    Returns:
        (H, W, 3) uint8; a bar over a frame says that an event is seen in it.
    """
    return np.concatenate([_row(scene, num_columns, scale) for scene in scenes], 0)


def _row(scene: Scene, num_columns: int, scale: int) -> np.ndarray:
    """One scene's frames side by side, (H, W, 3) uint8."""
    marked = event_frames(scene)
    start = min(max(0, marked[0] - num_columns // 4), max(0, scene.num_frames - num_columns)) if marked else 0
    frames = render(scene)[start : start + num_columns].repeat(scale, 1).repeat(scale, 2)  # (T, scale H, scale W, 3)
    edge = scale
    size = frames.shape[1]
    cells = np.full((len(frames), size + 3 * edge, size + edge, 3), PAPER, np.uint8)
    cells[:, 2 * edge : 2 * edge + size, :size] = frames
    for frame in marked:
        if start <= frame < start + len(frames):
            cells[frame - start, :edge, :size] = MARK
    return np.concatenate(list(cells), 1)
