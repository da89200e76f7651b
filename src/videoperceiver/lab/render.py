"""Rendered clips: a scene specification in, frames out, the same frames for the same specification.

A scene is what a viewer could write down: a tinted, slightly noisy background, things that move along waypoints, coloured strips at
the edges, a camera, and transient events of a few frames. Every event leaves no trace after its last frame, so its span is exact.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

EventKind = Literal["flash", "pop", "jump", "swap", "hit"]
Shape = Literal["square", "disc"]
CameraKind = Literal["still", "left", "right", "up", "down", "in", "out", "shake"]

COLOURS: dict[str, tuple[int, int, int]] = {"red": (224, 48, 48), "green": (40, 176, 72), "blue": (48, 92, 232), "yellow": (236, 200, 40)}
COLOUR_NAMES = tuple(COLOURS)
STRIP_COLOURS: tuple[tuple[int, int, int], ...] = ((40, 200, 210), (205, 70, 205), (236, 236, 236))
GREY = 108.0
TINT = 0.16  # how far the grey background leans towards its tint
TEXTURE_PERIOD_PX = 64


@dataclass(frozen=True)
class Thing:
    """A coloured shape that moves.

    Attributes:
        shape: what it looks like.
        colour: name in `COLOURS`.
        radius_px: half its width.
        waypoints: (frame, x_px, y_px) in order of frames; straight, even motion between them, at rest outside.
    """

    shape: Shape
    colour: str
    radius_px: float
    waypoints: tuple[tuple[float, float, float], ...]

    def positions(self, num_frames: int) -> np.ndarray:
        """Centre of the thing in each frame, (T, 2) pixels as x, y."""
        when, x, y = np.asarray(self.waypoints, float).T
        t = np.arange(num_frames)
        return np.stack([np.interp(t, when, x), np.interp(t, when, y)], -1)  # (T, 2)


@dataclass(frozen=True)
class Event:
    """Something that is there in frames `start` to `start + length - 1` and nowhere else.

    Attributes:
        kind: flash = the whole frame leans towards a colour; pop = a small disc appears; jump = a thing is elsewhere;
            swap = two things exchange places; hit = thing 1 touches thing 0.
        start: first frame.
        length: number of frames.
        colour: of a flash or a pop.
        alpha: contrast of a flash or a pop, 0 (nothing) to 1 (opaque).
        x_px: centre of a pop, displacement of a jump, or where thing 1 is from thing 0 in a hit.
        y_px: the same, downwards.
        radius_px: of a pop.
        thing: index of the thing that jumps; swaps and hits are of things 0 and 1.
    """

    kind: EventKind
    start: int
    length: int = 1
    colour: str = ""
    alpha: float = 1.0
    x_px: float = 0.0
    y_px: float = 0.0
    radius_px: float = 0.0
    thing: int = 0

    @property
    def frames(self) -> slice:
        """The frames it is seen in."""
        return slice(self.start, self.start + self.length)


@dataclass(frozen=True)
class Scene:
    """All there is to know about a clip.

    Attributes:
        seed: of texture and noise.
        num_frames: T.
        size_px: height and width.
        fps: frames a second.
        tint: colour name the background leans to, "" for none.
        things: the first is on top.
        events: transient events.
        strips: index into `STRIP_COLOURS` of the strip at each edge that has one.
        camera: how the view moves over the background and the things (strips stay).
        noise: standard deviation of the per-pixel noise of every frame, in grey levels.
    """

    seed: int
    num_frames: int = 16
    size_px: int = 32
    fps: float = 4.0
    tint: str = ""
    things: tuple[Thing, ...] = ()
    events: tuple[Event, ...] = ()
    strips: tuple[tuple[Literal["top", "bottom", "left"], int], ...] = ()
    camera: CameraKind = "still"
    noise: float = 1.5

    def of_kind(self, kind: EventKind) -> tuple[Event, ...]:
        """The events of a kind, in order of time."""
        return tuple(sorted((event for event in self.events if event.kind == kind), key=lambda event: event.start))


def rgb(colour: str) -> np.ndarray:
    """(3,) float32 of a named colour."""
    return np.asarray(COLOURS[colour], np.float32)


def render(scene: Scene) -> np.ndarray:
    """Draw a scene.

    Args:
        scene: what to draw.

    Returns:
        (T, H, W, 3) uint8, RGB; bitwise the same for equal scenes.
    """
    rng = np.random.default_rng([scene.seed, 7])
    offset, zoom = _view(scene)
    frames = _background(scene, rng, offset, zoom)  # (T, H, W, 3)
    for thing, centres in reversed(list(zip(scene.things, screen_positions(scene), strict=True))):
        _blend(frames, thing.shape, centres, thing.radius_px * zoom, thing.colour, 1.0)
    for event in scene.of_kind("pop"):
        centre, radius = np.full((event.length, 2), (event.x_px, event.y_px)), np.full(event.length, event.radius_px)
        _blend(frames[event.frames], "disc", centre, radius, event.colour, event.alpha)
    _draw_strips(frames, scene)
    for event in scene.of_kind("flash"):
        frames[event.frames] += event.alpha * (rgb(event.colour) - frames[event.frames])
    if scene.noise:
        frames += scene.noise * rng.standard_normal(frames.shape, dtype=np.float32)
    return np.clip(np.rint(frames), 0, 255).astype(np.uint8)


def screen_positions(scene: Scene) -> list[np.ndarray]:
    """Where each thing's centre is seen, jumps, hits, swaps and camera included: one (T, 2) array of pixels a thing."""
    offset, zoom = _view(scene)
    middle = scene.size_px / 2
    return [(centres - offset - middle) * zoom[:, None] + middle for centres in _centres(scene)]


def _centres(scene: Scene) -> list[np.ndarray]:
    """Centres of all things with jumps, hits and swaps applied, each (T, 2)."""
    centres = [thing.positions(scene.num_frames) for thing in scene.things]
    for event in scene.of_kind("jump"):
        centres[event.thing][event.frames] += (event.x_px, event.y_px)
    for event in scene.of_kind("hit"):
        centres[1][event.frames] = centres[0][event.frames] + (event.x_px, event.y_px)
    for event in scene.of_kind("swap"):
        first = centres[0][event.frames].copy()
        centres[0][event.frames] = centres[1][event.frames]
        centres[1][event.frames] = first
    return centres


def _view(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Where the camera looks: offset (T, 2) in pixels and zoom (T,). A pan crosses 3/8 of the frame, a zoom ends at 1.5."""
    share = np.linspace(0, 1, scene.num_frames)
    offset, zoom = np.zeros((scene.num_frames, 2)), np.ones(scene.num_frames)
    travel = share * scene.size_px * 3 / 8
    directions = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
    if scene.camera in directions:
        offset += travel[:, None] * directions[scene.camera]
    elif scene.camera == "in":
        zoom = 1 + share / 2
    elif scene.camera == "out":
        zoom = 1.5 - share / 2
    elif scene.camera == "shake":
        offset += np.random.default_rng([scene.seed, 8]).integers(-1, 2, offset.shape) * scene.size_px / 32
    return offset, zoom


def _background(scene: Scene, rng: np.random.Generator, offset: np.ndarray, zoom: np.ndarray) -> np.ndarray:
    """Tinted grey with a soft, periodic texture that the camera moves over, (T, H, W, 3) float32."""
    num_frames, size = scene.num_frames, scene.size_px
    coarse = rng.standard_normal((16, 16), dtype=np.float32)
    texture = 6 * _smooth(_smooth(_smooth(coarse).repeat(4, 0).repeat(4, 1)) / 3) / 3  # (64, 64), periodic
    base = np.full(3, GREY, np.float32)
    if scene.tint:
        base += TINT * (rgb(scene.tint) - base)
    pixel = np.arange(size) - size / 2
    columns, rows = ((pixel / zoom[:, None] + size / 2 + offset[:, axis, None]).astype(int) % TEXTURE_PERIOD_PX for axis in (0, 1))  # (T, W), (T, H)
    shade = texture[rows[:, :, None], columns[:, None, :]]  # (T, H, W)
    frames = np.empty((num_frames, size, size, 3), np.float32)
    np.add(shade[..., None], base, out=frames)
    return frames


def _smooth(texture: np.ndarray) -> np.ndarray:
    """One pass of a periodic 3 x 3 box, rescaled to about unit deviation."""
    rows = texture + np.roll(texture, 1, 0) + np.roll(texture, -1, 0)
    return (rows + np.roll(rows, 1, 1) + np.roll(rows, -1, 1)) / 3


def _blend(frames: np.ndarray, shape: Shape, centres: np.ndarray, radius: np.ndarray, colour: str, alpha: float) -> None:
    """Blend one shape a frame into frames (T, H, W, 3) in place; centres (T, 2), radius (T,); edges are antialiased."""
    x = np.arange(frames.shape[2], dtype=np.float32) - (centres[:, 0, None] - 0.5).astype(np.float32)  # (T, W)
    y = np.arange(frames.shape[1], dtype=np.float32) - (centres[:, 1, None] - 0.5).astype(np.float32)  # (T, H)
    x, y = x[:, None, :], y[:, :, None]
    distance = np.maximum(np.abs(x), np.abs(y)) if shape == "square" else np.sqrt(x * x + y * y)  # (T, H, W)
    mask = alpha * np.clip(radius.astype(np.float32)[:, None, None] + 0.5 - distance, 0, 1)
    frames += mask[..., None] * (rgb(colour) - frames)


def _draw_strips(frames: np.ndarray, scene: Scene) -> None:
    """Strips of 1/16 of the frame at its edges, under the flashes and over all else."""
    width = max(1, scene.size_px // 16)
    edges = {"top": np.s_[:, :width], "bottom": np.s_[:, -width:], "left": np.s_[:, width:-width, :width]}
    for edge, index in scene.strips:
        frames[edges[edge]] = STRIP_COLOURS[index]
