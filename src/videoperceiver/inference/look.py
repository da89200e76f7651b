"""Which frames a model gets to see of a video that may be hours long: at most so many, most of them where it matters."""

from dataclasses import dataclass

import numpy as np

from videoperceiver.inference.survey import Survey


@dataclass(frozen=True, eq=False)
class Looked:
    """What an answer rests on.

    Attributes:
        t_s: (T,) times of the frames the model saw, source seconds.
        length_s: from the first to the last frame of the video.
        focused: whether frames were chosen by relevance; False: evenly, and all that the rate asks for.
    """

    t_s: np.ndarray
    length_s: float
    focused: bool

    def __str__(self) -> str:
        """One line for people."""
        span = f"{self.t_s[0]:.2f} to {self.t_s[-1]:.2f} s"
        how = "evenly over the video and densely around what fits the question" if self.focused else "evenly"
        return f"looked at {len(self.t_s)} frames between {span}, chosen {how}"


def choose_times(found: Survey, *, fps: float, max_frames: int) -> np.ndarray:
    """Times of at most `max_frames` frames: half even over the whole video, half dense around the most relevant moments.

    Args:
        found: the complete survey.
        fps: density around relevant moments, frames a second.
        max_frames: even, at least 4.

    Returns:
        (T,) increasing, source seconds.
    """
    start_s, end_s = float(found.t_s[0]), float(found.t_s[-1])
    if (end_s - start_s) * fps < max_frames:
        return np.arange(start_s, end_s + 1e-6, 1 / fps)[:max_frames]
    grid = set(np.round(np.linspace(start_s, end_s, max_frames // 2) * fps).astype(int).tolist())  # in steps of 1 / fps
    steps = np.round(found.t_s * fps).astype(int)
    for moment in steps[np.argsort(-found.scores, kind="stable")]:  # the most relevant first, each with its second
        around = range(max(moment - int(fps // 2), steps[0]), min(moment + int(fps // 2), steps[-1]) + 1)
        new = [step for step in around if step not in grid][: max_frames - len(grid)]
        grid.update(new)
        if len(grid) == max_frames:
            break
    return np.array(sorted(grid)) / fps
