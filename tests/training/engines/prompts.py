"""Trees to sample from, the same for every engine's test."""

import numpy as np
import torch

from videoperceiver.models import Backbone, TreeBuilder
from videoperceiver.types import BLANK, Clip


def grow(backbone: Backbone, num_clips: int = 2, frames: int = 15) -> tuple[list, list[list[int]]]:
    """Trees of noise clips with two questions on V and on V' each; an odd number of frames, wider than high, times that do not start at 0."""
    rng = np.random.default_rng(0)
    trees, leaves = [], []
    for clip in range(num_clips):
        pixels = rng.integers(0, 255, (frames, 32, 64, 3), dtype=np.uint8)
        source = np.arange(frames)
        source[6:8] = 5
        source[-1] = BLANK if clip else source[-1]
        builder = TreeBuilder(backbone, Clip(pixels, np.arange(frames) / 4 + 0.3, f"clip {clip}"), source)
        videos = builder.video(), builder.degraded()
        leaves.append([builder.question(video, text) for text in ("red blue", "green") for video in videos])
        trees.append(builder.tree())
    return trees, leaves


def shake(backbone: Backbone, scale: float, seed: int) -> None:
    """An update without a loss: moves every trained matrix, far enough that greedy tokens change."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in backbone.parameters():
            if parameter.requires_grad and parameter.ndim > 1:
                parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
