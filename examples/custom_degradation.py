"""A way of one's own to make V': play each event backwards, everything else untouched.

`hold` takes the event away; this one keeps every frame of it and only turns its direction round, which asks whether a model sees motion
or only what is there. An operator gets the clip's length, the runs of event frames, the key frames and a seeded generator, and returns
which frame of V each frame of V' shows. It works wherever an operator is named, by file and function, or by module and function where it is
installed:

    degrade(len(clip), "examples/custom_degradation.py:rewind", runs=runs)
    videoperceiver degrade film.mp4 --text "A ball falls." --operator examples/custom_degradation.py:rewind --out rewound.mp4

and in a recipe of `data build` or of a stage that makes V' anew:

    operator: examples/custom_degradation.py:rewind
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from videoperceiver.types import Clip
from videoperceiver.video.degrade import apply, degrade, replacements
from videoperceiver.video.write import write_mp4


def rewind(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Each run of event frames backwards; a run of one frame stays as it is."""
    source_idx = np.arange(num_frames)
    for run in runs:
        source_idx[run.start : run.stop] = run[::-1]
    return source_idx


def falling_ball() -> Clip:
    """A ball that falls from 1 s to 2 s of a 3 s clip."""
    frames = np.full((24, 64, 64, 3), 40, np.uint8)
    for i, frame in enumerate(frames):
        top = 4 + 6 * min(max(i - 8, 0), 8)
        frame[top : top + 8, 28:36] = (230, 120, 30)
    return Clip(frames, np.arange(24) / 8, "falling ball")


if __name__ == "__main__":
    clip = falling_ball()
    degradation = degrade(len(clip), f"{__file__}:rewind", runs=[range(8, 17)])
    assert degradation is not None
    for part in replacements(degradation, clip.t_s):
        print(f"{part.start_s:.3f} to {part.end_s:.3f} s: {part.num_frames} frames, the first one from {part.from_s:.3f} s")
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()
    print(f"wrote {write_mp4(clip, folder / 'falling.mp4')} and {write_mp4(apply(clip, degradation), folder / 'rising.mp4')}")
