"""The story "signals": one to three whole-frame flashes of one colour, all before or all after one pop, beside a moving square."""

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from videoperceiver.lab.difficulty import MOTIONS, SPLIT_SHARE, Difficulty, Split, boundaries
from videoperceiver.lab.render import COLOUR_NAMES, Event, Scene, Thing, screen_positions

ANSWERS: dict[str, tuple[str, ...]] = {
    "flash_colour": COLOUR_NAMES,
    "pop_colour": COLOUR_NAMES,
    "count": ("1", "2", "3"),
    "when": ("early", "middle", "late"),
    "order": ("flash", "pop"),
}
"""The answer class of every family that a static cue can tell."""

CUES = {"flash_colour": "square", "pop_colour": "tint", "count": "top", "when": "bottom", "order": "left"}
"""The static cue of each of them: the square's colour, the background's tint, the strip at an edge."""

JUMP = 0.28  # of the frame


def draw_things(colour: str, difficulty: Difficulty, rng: np.random.Generator) -> tuple[Thing, ...]:
    """The square, a disc where extras may happen, and the distractors."""
    size, num_frames = difficulty.size_px, difficulty.num_frames
    num_discs = difficulty.num_distractors + (difficulty.extra_share > 0)
    things = [Thing("square", colour, size * 4 / 32, _path(str(rng.choice(difficulty.motions)), size, num_frames, rng))]
    for _ in range(num_discs):
        path = _path(str(rng.choice(MOTIONS)), size, num_frames, rng)
        things.append(Thing("disc", str(rng.choice(COLOUR_NAMES)), size * 3 / 32, path))
    return tuple(things)


def _path(motion: str, size: int, num_frames: int, rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    """Waypoints of a motion that crosses about half of the frame once, clear of the strips."""
    low, high = size * 0.24, size * 0.76
    x, y = (float(value) for value in rng.uniform(low, high, 2))
    reach, phase = float(rng.uniform(0.35, 0.5)) * size, float(rng.uniform(0, 2 * np.pi))
    end = num_frames - 1
    if motion == "circle":
        radius, centre = size * 0.18, size / 2
        angles = phase + np.linspace(0, 2 * np.pi, 17)
        points = zip(np.linspace(0, end, 17), centre + radius * np.cos(angles), centre + radius * np.sin(angles), strict=True)
        return tuple((float(t), float(px), float(py)) for t, px, py in points)
    near, far = size / 2 - reach / 2, size / 2 + reach / 2
    ends = {
        "right": ((near, y), (far, y)),
        "left": ((far, y), (near, y)),
        "down": ((x, near), (x, far)),
        "up": ((x, far), (x, near)),
        "still": ((x, y), (x, y)),
    }
    (x0, y0), (x1, y1) = ends[motion]
    return ((0.0, x0, y0), (float(end), x1, y1))


def draw_events(answer: Mapping[str, int], scene: Scene, difficulty: Difficulty, split: Split, rng: np.random.Generator) -> list[Event]:
    """Flashes and the pop for the given answers, redrawn until their specification falls into the split's share."""
    size = difficulty.size_px
    radius = size * 3 / 32
    flash_alpha, pop_alpha = rng.uniform(*difficulty.flash_alpha), rng.uniform(*difficulty.pop_alpha)
    flash_colour, pop_colour = COLOUR_NAMES[answer["flash_colour"]], COLOUR_NAMES[answer["pop_colour"]]
    while True:
        pop_start, pop_length, flashes = _place(answer, difficulty, rng)
        x, y = _clear_place(scene, slice(pop_start, pop_start + pop_length), rng)
        if in_split((flash_colour, pop_colour, flashes, pop_start, pop_length, x, y), split):
            break
    events = [Event("flash", start, length, flash_colour, flash_alpha) for start, length in flashes]
    events.append(Event("pop", pop_start, pop_length, pop_colour, pop_alpha, x, y, radius))
    return events + _draw_extras(scene.things, events, difficulty, rng)


def in_split(specification: tuple[Any, ...], split: Split) -> bool:
    """Whether an event specification belongs to a split: each belongs to exactly one."""
    return zlib.crc32(repr(specification).encode()) % 100 in SPLIT_SHARE[split]


def _clear_place(scene: Scene, frames: slice, rng: np.random.Generator) -> tuple[float, float]:
    """Of 16 random places for a pop's centre, one clear of all things in the given frames, or the clearest; never on a middle line."""
    size = scene.size_px
    places = rng.uniform(size * 7 / 32, size * 25 / 32, (16, 2)).round(1)
    seen = np.concatenate([centres[frames] for centres in screen_positions(scene)])  # (things x frames, 2)
    gap = np.abs(places[:, None] - seen).max(-1).min(-1)  # (16,), Chebyshev: the square is the larger shape
    gap[np.abs(places - size / 2).min(-1) < size / 16] = -1  # its corner is asked for
    clear = np.flatnonzero(gap > size * 8 / 32)
    x, y = places[clear[0] if len(clear) else gap.argmax()]
    return float(x), float(y)


def _place(answer: Mapping[str, int], difficulty: Difficulty, rng: np.random.Generator) -> tuple[int, int, list[tuple[int, int]]]:
    """Frames of the pop and of the flashes: pop start, pop length, [(flash start, length)].

    The pop starts in a frame of its `when` class that leaves room for the flashes on their side; where nothing fits, the longest event
    is shortened. Every event has a coin for its parity and moves by a frame to match it where it can: a temporal patch is two frames,
    and events that always start on the same slot of it teach a model to ignore the other.
    """
    num_frames, num_flashes, flashes_first = difficulty.num_frames, answer["count"] + 1, answer["order"] == 0
    early, late = boundaries(num_frames)
    first, last = ((0, early), (early, late), (late, num_frames))[answer["when"]]
    lengths = rng.choice(difficulty.lengths, num_flashes + 1)  # the pop's is the last
    while True:
        needed = int(lengths[:-1].sum()) + num_flashes - 1 + 2 * (lengths.max() > 1)  # a clean frame between flashes; long events never packed tight
        starts = [s for s in range(first, last) if s + lengths[-1] <= num_frames and (s if flashes_first else num_frames - s - lengths[-1]) >= needed]
        if starts:
            break
        lengths[lengths.argmax()] -= 1
    coins = rng.integers(2, size=num_flashes + 1)
    pop_start, pop_length = int(rng.choice([s for s in starts if s % 2 == coins[-1]] or starts)), int(lengths[-1])
    low, high = (0, pop_start) if flashes_first else (pop_start + pop_length, num_frames)
    return pop_start, pop_length, _spread(low, high, [int(length) for length in lengths[:-1]], coins, rng)


def _spread(low: int, high: int, lengths: list[int], coins: np.ndarray, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Flashes of the given lengths in frames [low, high) with a clean frame between two, starts even or odd as the coins say where possible."""
    slack = high - low - sum(lengths) - len(lengths) + 1
    before = np.sort(rng.choice(slack + len(lengths), len(lengths), replace=False)) - np.arange(len(lengths))  # free frames before each flash
    starts = [low + int(before[i]) + sum(lengths[:i]) + i for i in range(len(lengths))]
    for i in rng.permutation(len(lengths)):
        left = starts[i - 1] + lengths[i - 1] + 1 if i else low
        right = (starts[i + 1] - 1 if i + 1 < len(lengths) else high) - lengths[i]
        moved = [s for s in (starts[i] - 1, starts[i] + 1) if left <= s <= right]
        if starts[i] % 2 != coins[i] and moved:
            starts[i] = int(rng.choice(moved))
    return list(zip(starts, lengths, strict=True))


def _draw_extras(things: tuple[Thing, ...], events: list[Event], difficulty: Difficulty, rng: np.random.Generator) -> list[Event]:
    """A jump and a swap, each in `extra_share` of the clips, in frames where nothing else happens."""
    extras: list[Event] = []
    for kind in ("jump", "swap"):
        happens, length = rng.random() < difficulty.extra_share, int(rng.choice(difficulty.lengths))
        taken = {frame for event in [*events, *extras] for frame in range(event.start, event.start + event.length)}
        coin = int(rng.integers(2))
        free = [s for s in range(1, difficulty.num_frames - length) if taken.isdisjoint(range(s, s + length))]
        free = [s for s in free if s % 2 == coin] or free
        if not (happens and free):
            continue
        start = int(rng.choice(free))
        if kind == "swap":
            extras.append(Event("swap", start, length))
        else:
            x, y = _displacement(things[0].positions(difficulty.num_frames)[start], difficulty.size_px, rng)
            extras.append(Event("jump", start, length, x_px=x, y_px=y))
    return extras


def _displacement(centre: np.ndarray, size: int, rng: np.random.Generator) -> tuple[float, float]:
    """A jump in one of the four directions that keep the thing inside."""
    reach = JUMP * size
    options = [
        (dx, dy)
        for dx, dy in ((-reach, 0.0), (reach, 0.0), (0.0, -reach), (0.0, reach))
        if np.all(np.abs(centre + np.array([dx, dy]) - size / 2) <= 0.36 * size)
    ]
    return options[rng.integers(len(options))]
