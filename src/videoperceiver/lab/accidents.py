"""The story "accident", after VRU-Accident: two road users pass on parallel lanes, and for a few frames one hits the other.

The square drives left or right. The hit lasts 1-3 frames, in which the disc touches the square's front, rear or side; just before it,
for as brief a moment, its cause is seen: a glare (yellow flash), an obstacle (pop ahead of the square) or a swerve (the square leaves its
lane). Afterwards both go on as if nothing had happened, so that what, why and when can be told from those frames only.
"""

from collections.abc import Mapping

import numpy as np

from videoperceiver.lab.difficulty import Difficulty, Split, boundaries
from videoperceiver.lab.render import COLOUR_NAMES, Event, Scene, Thing
from videoperceiver.lab.signals import in_split

ANSWERS: dict[str, tuple[str, ...]] = {"what": ("front", "rear", "side"), "why": ("glare", "obstacle", "swerve"), "when_hit": ("early", "middle", "late")}
"""The answer class of every family that a static cue can tell."""

CUES = {"what": "top", "why": "tint", "when_hit": "bottom"}
"""The static cue of each of them: the background's tint, the strip at an edge."""

GLARE, OBSTACLE = "yellow", "red"
SWERVE = 0.18  # of the frame
MAX_PAUSE = 2  # clean frames between cause and hit


def draw_things(colour: str, difficulty: Difficulty, rng: np.random.Generator) -> tuple[Thing, ...]:
    """The square in its lane and the disc in the other, each left- or rightwards; then distractor discs at rest."""
    size, end = difficulty.size_px, difficulty.num_frames - 1
    lanes = rng.permutation([0.32, 0.68]) * size
    things = [
        Thing("square", colour, size * 4 / 32, _drive(float(lanes[0]), size, end, rng)),
        Thing("disc", str(rng.choice(COLOUR_NAMES)), size * 3 / 32, _drive(float(lanes[1]), size, end, rng)),
    ]
    for _ in range(difficulty.num_distractors):
        x, y = rng.uniform(0.2, 0.8, 2) * size
        things.append(Thing("disc", str(rng.choice(COLOUR_NAMES)), size * 2 / 32, ((0.0, float(x), float(y)), (float(end), float(x), float(y)))))
    return tuple(things)


def _drive(lane: float, size: int, end: int, rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Waypoints along a lane at height `lane`, with room at both ends for a disc in front or behind."""
    low, high = size * float(rng.uniform(0.34, 0.4)), size * float(rng.uniform(0.6, 0.66))
    start_x, end_x = (low, high) if rng.integers(2) else (high, low)
    return ((0.0, start_x, lane), (float(end), end_x, lane))


def draw_events(answer: Mapping[str, int], scene: Scene, difficulty: Difficulty, split: Split, rng: np.random.Generator) -> list[Event]:
    """The hit and its cause for the given answers, redrawn until their specification falls into the split's share."""
    early, late = boundaries(scene.num_frames)
    first, last = ((0, early), (early, late), (late, scene.num_frames))[answer["when_hit"]]
    flash_alpha, pop_alpha = rng.uniform(*difficulty.flash_alpha), rng.uniform(*difficulty.pop_alpha)
    what, why = ANSWERS["what"][answer["what"]], ANSWERS["why"][answer["why"]]
    while True:
        cause_length, hit_length = (int(length) for length in rng.choice(difficulty.lengths, 2))
        pause, coin = int(rng.integers(MAX_PAUSE + 1)), int(rng.integers(2))
        starts = [s for s in range(max(first, cause_length + pause), min(last, scene.num_frames - hit_length + 1)) if s % 2 == coin]
        if not starts:
            continue
        hit_start = int(rng.choice(starts))
        cause_start = hit_start - pause - cause_length
        ahead, across = (float(value) for value in rng.uniform(0.9, 1.0, 2).round(2))
        if in_split((what, why, hit_start, hit_length, cause_start, cause_length, ahead, across), split):
            break
    x, y = _touch(what, scene, ahead)
    return [_cause(why, scene, cause_start, cause_length, (flash_alpha, pop_alpha), across), Event("hit", hit_start, hit_length, x_px=x, y_px=y)]


def _touch(what: str, scene: Scene, closeness: float) -> tuple[float, float]:
    """Where the disc is from the square's centre when it touches its front, rear or side, in pixels."""
    square, disc = scene.things[:2]
    reach = closeness * (square.radius_px + disc.radius_px)
    if what == "side":
        return 0.0, float(np.copysign(reach, disc.waypoints[0][2] - square.waypoints[0][2]))
    return reach * heading(scene) * (1 if what == "front" else -1), 0.0


def _cause(why: str, scene: Scene, start: int, length: int, alphas: tuple[float, float], across: float) -> Event:
    """The brief event that explains the hit."""
    if why == "glare":
        return Event("flash", start, length, GLARE, alphas[0])
    outwards = float(np.copysign(1, scene.things[0].waypoints[0][2] - scene.size_px / 2))
    if why == "swerve":
        return Event("jump", start, length, y_px=-outwards * across * scene.size_px * SWERVE)
    x, y = scene.things[0].positions(scene.num_frames)[start]
    ahead = heading(scene) * across * scene.size_px * 8 / 32
    return Event("pop", start, length, OBSTACLE, alphas[1], float(x) + ahead, float(y), scene.size_px * 3 / 32)


def heading(scene: Scene) -> int:
    """1 where the square drives to the right, -1 to the left."""
    waypoints = scene.things[0].waypoints
    return 1 if waypoints[-1][1] > waypoints[0][1] else -1
