"""Qwen2.5-VL: time is the first of three rotary positions, in whole steps of 1 / tokens_per_second seconds."""

from typing import Any

import numpy as np
import torch
from transformers.video_utils import VideoMetadata

from videoperceiver.models.adapters.base import Encode, VideoTokens
from videoperceiver.models.adapters.qwen_vision import QwenVision

UNIFORM_TOLERANCE = 0.05
"""Patches count as evenly spaced when each interval is within this share of the mean (container timestamps are rounded)."""


class Qwen25VLAdapter(QwenVision):
    """Qwen2.5-VL. The processor knows one interval a video; `video_times="clip"` gives each patch its own position instead."""

    def spell(self, text: str, t_s: np.ndarray, height_px: int, width_px: int, encode: Encode) -> VideoTokens:
        starts = t_s[:, 0]
        grid = [len(t_s), *self.grid(height_px, width_px)]
        out = self._spell(text, grid, encode, VideoMetadata(total_num_frames=t_s.size), second_per_grid_ts=torch.tensor([self.second_per_grid(t_s)]))
        if self.video_times == "processor" or _uniform(starts):
            return out
        steps = np.floor((starts - starts[0]) * self.model.config.vision_config.tokens_per_second + 1e-6).astype(np.int64)
        shown = out.patch >= 0
        out.positions[0, shown] = out.positions[0, shown].min() + steps[out.patch[shown]]
        return out

    def told_times(self, t_s: np.ndarray) -> dict[str, Any]:
        return {"fps": self._fps(t_s), "frames_indices": list(range(t_s.size))}

    def second_per_grid(self, t_s: np.ndarray) -> float:
        return self.frames_per_patch / self._fps(t_s)

    def _fps(self, t_s: np.ndarray) -> float:
        """Through frames a second, as the processor does: 5 x 0.8 s must not be 3.999999 s and lose a step."""
        starts = t_s[:, 0]
        return float(f"{self.frames_per_patch * (len(starts) - 1) / (starts[-1] - starts[0]):.9g}") if len(starts) > 1 else 1.0

    def time_loss(self, t_s: np.ndarray) -> str | None:
        starts = t_s[:: self.frames_per_patch]
        if len(starts) < 2:
            return None
        step = 1 / self.model.config.vision_config.tokens_per_second
        gaps = np.diff(starts)
        if not _uniform(starts) and self.video_times == "processor":
            spread = f"{gaps.min():.3g} to {gaps.max():.3g} s"
            return f"patches are {spread} apart but the model is told the mean, {gaps.mean():.3g} s; video_times=clip gives each its own position"
        if gaps.min() < step * (1 - UNIFORM_TOLERANCE):
            most = self.frames_per_patch / step
            return f"patches {gaps.min():.3g} s apart share temporal positions of {step:.3g} s; sample at most {most:g} fps to keep them apart"
        return None


def _uniform(starts: np.ndarray) -> bool:
    gaps = np.diff(starts)
    return len(gaps) < 2 or bool(np.abs(gaps - gaps.mean()).max() <= UNIFORM_TOLERANCE * gaps.mean())
