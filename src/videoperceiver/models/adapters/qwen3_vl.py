"""Qwen3-VL: time is text before each temporal patch (`<1.3 seconds>`); DeepStack adds vision features after the first blocks."""

import numpy as np
from transformers.video_utils import VideoMetadata

from videoperceiver.models.adapters.base import Encode, VideoTokens
from videoperceiver.models.adapters.qwen_vision import QwenVision


class Qwen3VLAdapter(QwenVision):
    """Qwen3-VL. Any times can be told, to a tenth of a second."""

    @property
    def min_depth(self) -> int:
        """DeepStack writes after each of the first blocks; a pass that left earlier would differ from the model's own."""
        return len(self.model.config.vision_config.deepstack_visual_indexes)

    def spell(self, text: str, t_s: np.ndarray, height_px: int, width_px: int, encode: Encode) -> VideoTokens:
        metadata = VideoMetadata(total_num_frames=t_s.size, **self.told_times(t_s))
        return self._spell(text, [len(t_s), *self.grid(height_px, width_px)], encode, metadata)

    def time_loss(self, t_s: np.ndarray) -> str | None:
        spelled = [f"{t:.1f}" for t in t_s[:: self.frames_per_patch]]
        if len(set(spelled)) < len(spelled):
            most = 10 * self.frames_per_patch
            return f"{len(spelled)} patches have only {len(set(spelled))} different timestamps of 0.1 s; sample at most {most} fps to keep them apart"
        return None
