"""TransientEvents-v1: its name, its splits, and how hard its clips are."""

from dataclasses import dataclass, replace
from typing import Literal

from videoperceiver.errors import ConfigError
from videoperceiver.lab.render import CameraKind

NAME = "TransientEvents-v1"
Cue = Literal["independent", "shortcut", "agree", "conflict"]
Split = Literal["train", "validation", "test"]
Story = Literal["signals", "accident"]
Motion = Literal["left", "right", "up", "down", "circle", "still"]

MOTIONS: tuple[Motion, ...] = ("left", "right", "up", "down", "circle", "still")

SPLIT_SHARE: dict[Split, range] = {"train": range(80), "validation": range(80, 90), "test": range(90, 100)}
"""Event specifications are divided among the splits by hash, in these percentages: none is in two."""


@dataclass(frozen=True)
class Difficulty:
    """How hard the events are to see; every range is inclusive and drawn from uniformly.

    Attributes:
        story: "signals" = flashes and a pop; "accident" = two road users, a hit and its cause.
        num_frames: T.
        size_px: height and width of the clip.
        fps: frames a second.
        lengths: event lengths in frames to draw from.
        flash_alpha: contrast of flashes.
        pop_alpha: contrast of pops.
        noise: standard deviation of the pixel noise in grey levels. None by default: V' repeats frames bit for bit, and repeated noise would tell it
            from V in any clip, event or not.
        crf: H.264 quality, 0 = lossless but for the colour conversion.
        pix_fmt: yuv444p keeps small coloured things; yuv420p halves the colour's resolution as ordinary video does.
        motions: of the square, to draw from (story "signals").
        num_distractors: moving discs that nothing is asked about.
        cameras: camera motions to draw from.
        extra_share: share of clips in which the square jumps, and share in which square and disc swap (adds a disc).
    """

    story: Story = "signals"
    num_frames: int = 16
    size_px: int = 32
    fps: float = 4.0
    lengths: tuple[int, ...] = (1,)
    flash_alpha: tuple[float, float] = (0.2, 0.6)
    pop_alpha: tuple[float, float] = (0.4, 1.0)
    noise: float = 0.0
    crf: int = 0
    pix_fmt: str = "yuv444p"
    motions: tuple[Motion, ...] = MOTIONS
    num_distractors: int = 0
    cameras: tuple[CameraKind, ...] = ("still",)
    extra_share: float = 0.0

    def __post_init__(self):
        if self.num_frames < 16 or not self.lengths or not all(1 <= length <= 3 for length in self.lengths):
            raise ConfigError(
                f"got num_frames={self.num_frames}, lengths={self.lengths}; {NAME} needs at least 16 frames (three flashes and a pop must fit"
                " into an early or late part) and event lengths of 1 to 3 frames"
            )


FAINT = Difficulty(flash_alpha=(0.025, 0.085), pop_alpha=(0.05, 0.17))
DIFFICULTIES: dict[str, Difficulty] = {
    "bright": Difficulty(lengths=(1, 2, 3)),
    "brief": Difficulty(lengths=(1, 2)),
    "dim": Difficulty(flash_alpha=(0.03, 0.1), pop_alpha=(0.06, 0.2)),
    "faint": FAINT,
    "lasting": replace(FAINT, lengths=(2, 3)),
    "sparse": replace(FAINT, num_frames=32),
    "mixed": Difficulty(lengths=(1, 2, 3), extra_share=0.5),
    "crowded": Difficulty(num_distractors=3, extra_share=0.5),
    "moving": Difficulty(cameras=("still", "left", "right", "up", "down", "in", "out", "shake"), extra_share=0.5),
    "compressed": Difficulty(crf=23, pix_fmt="yuv420p"),
    "accident": Difficulty(story="accident", lengths=(1, 2)),
    "accident-faint": replace(FAINT, story="accident"),
    "long": Difficulty(num_frames=300, fps=25.0),
    "long-faint": replace(FAINT, num_frames=300, fps=25.0),
}
"""Presets. bright, brief, faint and dim are the lab's training stages; the rest vary one thing at a time."""


def difficulty_named(name: str | Difficulty) -> Difficulty:
    """A preset by its name, or the given difficulty itself.

    Raises:
        ConfigError: for a name that is no preset.
    """
    if isinstance(name, Difficulty):
        return name
    if name not in DIFFICULTIES:
        raise ConfigError(f"difficulty {name!r} is unknown; {NAME} has {', '.join(DIFFICULTIES)}")
    return DIFFICULTIES[name]


def boundaries(num_frames: int) -> tuple[int, int]:
    """First frame that is no longer early and first frame that is late; the same number of frames is early as late."""
    early = round(num_frames * 3 / 8)
    return early, num_frames - early


def when_class(start: int, num_frames: int) -> str:
    """early, middle or late, by an event's first frame."""
    early, late = boundaries(num_frames)
    return "early" if start < early else "late" if start >= late else "middle"
