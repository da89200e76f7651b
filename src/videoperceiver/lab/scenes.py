"""Which scenes are drawn: answers first, then events that have them, then static cues that do or do not tell them.

Each story (`signals`, `accidents`) names its answer classes and the static cue of each: with `cue="shortcut"` the cue states the answer
with probability `reliability`, with "agree" always, with "conflict" never, with "independent" by chance. Cues come from a random stream
of their own, so clips of one seed differ in their cues and in nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from videoperceiver.lab import accidents, signals
from videoperceiver.lab.difficulty import Cue, Difficulty, Split, Story
from videoperceiver.lab.render import COLOUR_NAMES, STRIP_COLOURS, Scene

STORIES: dict[Story, Any] = {"signals": signals, "accident": accidents}
"""Modules with ANSWERS, CUES, draw_things and draw_events."""

CUE_VALUES = {"square": len(COLOUR_NAMES), "tint": len(COLOUR_NAMES), "top": len(STRIP_COLOURS), "bottom": len(STRIP_COLOURS), "left": 2}
"""How many looks each static cue can have."""


@dataclass(frozen=True)
class Drawn:
    """A scene and what its static cues say.

    Attributes:
        scene: what `render` takes.
        hints: family -> the answer its static cue states, right or wrong.
    """

    scene: Scene
    hints: Mapping[str, str]


def draw(seed: int, difficulty: Difficulty, *, split: Split = "train", cue: Cue = "independent", reliability: float = 0.88) -> Drawn:
    """Draw one clip's scene.

    Args:
        seed: of everything in it; clips of one seed and split differ only by their cues.
        difficulty: ranges to draw from.
        split: which part of all event specifications to draw from.
        cue: how static cues relate to the answers.
        reliability: probability that a cue is right where `cue` is "shortcut".

    Returns:
        The scene and its hints.
    """
    story = STORIES[difficulty.story]
    event_rng, look_rng, cue_rng = (np.random.default_rng([seed, stream]) for stream in range(3))
    answer = {family: int(event_rng.integers(len(options))) for family, options in story.ANSWERS.items()}
    hint = {family: _hint(answer[family], len(options), cue, reliability, cue_rng) for family, options in story.ANSWERS.items()}
    look = {name: int(cue_rng.integers(num_values)) for name, num_values in CUE_VALUES.items()} | {story.CUES[family]: hint[family] for family in hint}
    scene = Scene(
        seed=seed,
        num_frames=difficulty.num_frames,
        size_px=difficulty.size_px,
        fps=difficulty.fps,
        tint=COLOUR_NAMES[look["tint"]],
        things=story.draw_things(COLOUR_NAMES[look["square"]], difficulty, look_rng),
        strips=(("top", look["top"]), ("bottom", look["bottom"]), ("left", look["left"])),
        camera=difficulty.cameras[look_rng.integers(len(difficulty.cameras))],
        noise=difficulty.noise,
    )
    events = story.draw_events(answer, scene, difficulty, split, event_rng)
    scene = replace(scene, events=tuple(sorted(events, key=lambda event: event.start)))
    return Drawn(scene, {family: options[hint[family]] for family, options in story.ANSWERS.items()})


def _hint(answer: int, num_options: int, cue: Cue, reliability: float, rng: np.random.Generator) -> int:
    """What the cue says; always three draws, so that the streams of all cue kinds stay aligned."""
    chance, wrong, any_value = rng.random(), (answer + rng.integers(1, num_options)) % num_options, rng.integers(num_options)
    if cue == "independent":
        return int(any_value)
    right = {"agree": True, "conflict": False, "shortcut": chance < reliability}[cue]
    return int(answer if right else wrong)
