"""Scenes of soft blobs that move over a soft background: like films in what a perceptual hash sees of them."""

import numpy as np
from PIL import Image


def scene(seed: int, num_frames: int = 24, height: int = 96, width: int = 128, *, event: int = 0) -> np.ndarray:
    """(T, H, W, 3) uint8; scenes of one seed share everything but the path of their largest blob, which `event` draws."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width]).reshape(2, 1, 1)
    waves = sum(rng.normal() * np.cos(2 * np.pi * (rng.uniform(0, 2.5) * x + rng.uniform(0, 2.5) * y) + rng.uniform(0, 6)) for _ in range(6))
    back = 120 + 25 * waves[..., None] * rng.uniform(0.6, 1.0, 3)
    blobs = [(rng.uniform(0, 1, 2), rng.normal(0, 0.3, 2), rng.uniform(0.05, 0.1), rng.uniform(-90, 90, 3)) for _ in range(4)]
    path = np.random.default_rng([seed, event])
    blobs.append((path.uniform(0.2, 0.8, 2), path.normal(0, 0.8, 2), 0.16, np.array([110.0, 90.0, 100.0])))
    frames = []
    for t in np.linspace(0, 1, num_frames):
        picture = back.copy()
        for start, speed, size, colour in blobs:
            at = 0.5 + 0.5 * np.sin(2 * (start + speed * t))
            picture += colour * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * size**2))[..., None]
        frames.append(np.clip(picture, 0, 255).astype(np.uint8))
    return np.stack(frames)


def changed(frames: np.ndarray, *, scale: float = 1.0, crop: float = 0.0, brightness: int = 0) -> np.ndarray:
    """The same frames resized, trimmed at the edges by a share of the size, made brighter."""
    height, width = frames.shape[1:3]
    dy, dx = int(height * crop), int(width * crop)
    size = (int(width * scale) // 2 * 2, int(height * scale) // 2 * 2)
    trimmed = np.clip(frames[:, dy : height - dy, dx : width - dx].astype(np.int16) + brightness, 0, 255).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in trimmed])
