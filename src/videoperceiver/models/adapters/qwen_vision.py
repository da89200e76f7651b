"""What the vision towers of Qwen2.5-VL and Qwen3-VL share: pixels cut into merge-ordered patches, attention within a temporal patch.

transformers attends to one window after another in a Python loop; windows of equal length are one batched call here. The tower's
modules and weights are used as they are: only the attention function is ours, registered under a name of its own.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.video_utils import VideoMetadata

from videoperceiver.errors import ModelError, SampleError
from videoperceiver.models.adapters.base import Adapter, Encode, Features, VideoTimes, VideoTokens, normalise

WINDOWED = "videoperceiver_flash_windows"
"""Name of the attention; transformers hands window bounds over only to names that contain "flash"."""


def windowed_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, *, scaling: float, dropout: float = 0.0, cu_seq_lens_q: Tensor, **_: Any
) -> tuple[Tensor, None]:
    """Attention within windows of a packed row: query, key, value (1, heads, N, d) -> (1, N, heads, d)."""
    del module, attention_mask
    bounds = cu_seq_lens_q.tolist()
    lengths = np.diff(bounds)
    if (lengths == lengths[0]).all():
        return _batched(query, key, value, int(lengths[0]), scaling, dropout), None
    out = query.new_empty(query.transpose(1, 2).shape)
    for length in np.unique(lengths).tolist():  # at most four kinds of window: inner, right edge, bottom edge, corner
        starts = np.asarray(bounds[:-1])[lengths == length]
        index = torch.from_numpy((starts[:, None] + np.arange(length)).reshape(-1)).to(query.device)
        few = [tensor.index_select(2, index) for tensor in (query, key, value)]
        out = out.index_copy(1, index, _batched(few[0], few[1], few[2], length, scaling, dropout))
    return out, None


def _batched(query: Tensor, key: Tensor, value: Tensor, length: int, scaling: float, dropout: float) -> Tensor:
    def windows(x: Tensor) -> Tensor:  # (1, heads, N, d) -> (windows, heads, length, d)
        return x[0].unflatten(1, (-1, length)).transpose(0, 1)

    out = F.scaled_dot_product_attention(windows(query), windows(key), windows(value), dropout_p=dropout, scale=scaling)
    return out.transpose(1, 2).flatten(0, 1)[None]


AttentionInterface.register(WINDOWED, windowed_attention)


def cut(pixels: Tensor, patch: int, merge: int) -> Tensor:
    """Pixels (N, frames_per_patch, 3, H, W) -> (N * h * w, 3 * frames_per_patch * patch * patch) in the processor's merge order."""
    n, t, c, height, width = pixels.shape
    rows, columns = height // patch // merge, width // patch // merge
    x = pixels.view(n, t, c, rows, merge, patch, columns, merge, patch)
    return x.permute(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(n * rows * columns * merge * merge, -1)


class QwenVision(Adapter):
    """Answers common to the Qwen vision-language families."""

    placeholder = "<|vision_start|><|video_pad|><|vision_end|>"
    image_placeholder = "<|vision_start|><|image_pad|><|vision_end|>"

    def __init__(self, model: Any, processor: Any, video_times: VideoTimes = "processor"):
        super().__init__(model, processor, video_times)
        self.frames_per_patch = processor.video_processor.temporal_patch_size
        self._fitting: set[tuple[int, ...]] = set()  # shapes the processor would leave as they are
        model.config.vision_config._attn_implementation = WINDOWED

    @property
    def vision(self) -> list[nn.Module]:
        return [self.model.model.visual]

    @property
    def video_token_id(self) -> int:
        return self.model.config.video_token_id

    @property
    def image_token_id(self) -> int:
        return self.model.config.image_token_id

    @property
    def media_ids(self) -> list[int]:
        config = self.model.config
        return [config.image_token_id, config.video_token_id, config.vision_start_token_id, config.vision_end_token_id]

    def check(self) -> None:
        vision, video = self.model.config.vision_config, self.processor.video_processor
        got = (video.patch_size, video.temporal_patch_size, video.merge_size, self.processor.video_token_id)
        expected = (vision.patch_size, vision.temporal_patch_size, vision.spatial_merge_size, self.model.config.video_token_id)
        if got != expected:
            names = "patch_size, temporal_patch_size, merge_size, video token id"
            raise ModelError(f"the processor's {names} are {got}, the model's are {expected}; load both from the same checkpoint")

    def fit(self, frames: np.ndarray) -> np.ndarray:
        if frames.shape in self._fitting:
            return frames
        video = self.processor.video_processor
        options = {"cap_pixels_per_frame": bool(getattr(video, "cap_pixels_per_frame", False)), "temporal_factor": video.temporal_patch_size}
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)[None]
        try:
            resized = video.resize(pixels, size=video.size, resample=video.resample, factor=video.patch_size * video.merge_size, **options)
        except ValueError as error:  # too few frames, or a shape too long
            raise SampleError(f"the processor cannot use {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]} px ({error})") from error
        if resized.shape == pixels.shape:
            self._fitting.add(frames.shape)
            return frames
        return resized[0].permute(0, 2, 3, 1).contiguous().numpy()

    def fit_image(self, frames: np.ndarray) -> np.ndarray:
        picture, video = self.processor.image_processor, self.processor.video_processor
        if (picture.image_mean, picture.image_std) != (video.image_mean, video.image_std):
            raise ModelError("the processor normalises pictures by other means than videos; the tower here reads both alike, leave rows with a picture out")
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        try:
            resized = picture.resize(pixels, size=picture.size, resample=picture.resample, factor=picture.patch_size * picture.merge_size)
        except ValueError as error:  # a shape too long
            raise SampleError(f"the processor cannot use a picture of {frames.shape[2]}x{frames.shape[1]} px ({error})") from error
        return resized.permute(0, 2, 3, 1).contiguous().numpy()

    def spell_image(self, text: str, height_px: int, width_px: int, encode: Encode) -> VideoTokens:
        grid = torch.tensor([[1, *self.grid(height_px, width_px)]])
        replaced = self.processor.replace_image_token({"image_grid_thw": grid}, 0)
        (spelled,), _ = self.processor.get_text_with_replacements([text], [replaced], [], [])
        ids = encode(spelled)
        pads = ids == self.image_token_id
        types = torch.from_numpy(pads.astype(np.int64))[None]
        positions, _ = self.model.model.get_rope_index(torch.tensor(ids)[None], types, image_grid_thw=grid)
        return VideoTokens(ids, positions[:, 0].numpy(), np.where(pads, 0, -1))

    def grid(self, height_px: int, width_px: int) -> tuple[int, int]:
        """Rows and columns of patches before merging."""
        patch = self.processor.video_processor.patch_size
        return height_px // patch, width_px // patch

    def tokens_per_patch(self, height_px: int, width_px: int) -> int:
        rows, columns = self.grid(height_px, width_px)
        return rows * columns // self.processor.video_processor.merge_size**2

    def _spell(self, text: str, grid: list[int], encode: Encode, metadata: VideoMetadata, **times) -> VideoTokens:
        """Let the processor write the tokens and the model place them, so that both agree with the plain path."""
        inputs = {"video_grid_thw": torch.tensor([grid]), "video_metadata": [metadata]}
        (spelled,), _ = self.processor.get_text_with_replacements([text], [], [self.processor.replace_video_token(inputs, 0)], [])
        ids = encode(spelled)
        pads = ids == self.video_token_id
        types = torch.from_numpy(np.where(pads, 2, 0))[None]
        positions, _ = self.model.model.get_rope_index(torch.tensor(ids)[None], types, video_grid_thw=inputs["video_grid_thw"], **times)
        patch = np.full(len(ids), -1)
        patch[pads] = np.repeat(np.arange(grid[0]), pads.sum() // grid[0])
        return VideoTokens(ids, positions[:, 0].numpy(), patch)

    def encode(self, frames: Tensor) -> Features:
        video, visual = self.processor.video_processor, self.model.model.visual
        pixels = cut(normalise(frames, video, visual.dtype), video.patch_size, video.merge_size)
        grid = torch.tensor([[len(frames), *self.grid(*frames.shape[2:4])]], device=frames.device)
        out = visual(pixels, grid_thw=grid)
        shape = (len(frames), -1, out.pooler_output.shape[-1])
        return Features(out.pooler_output.view(shape), tuple(extra.view(shape) for extra in getattr(out, "deepstack_features", None) or ()))
