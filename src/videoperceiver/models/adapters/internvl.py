"""InternVL (Hugging Face port): every frame is a patch of its own, numbered but not timed, with ordinary 1-D positions."""

import numpy as np
import torch
from torch import Tensor

from videoperceiver.errors import ModelError
from videoperceiver.models.adapters.base import Adapter, Encode, Features, VideoTokens, normalise


class InternVLAdapter(Adapter):
    """InternVL. The format has no place for times: `time_loss` says so."""

    placeholder = "<video>"

    @property
    def vision(self) -> list[torch.nn.Module]:
        return [self.model.model.vision_tower, self.model.model.multi_modal_projector]

    @property
    def video_token_id(self) -> int:
        return self.model.config.image_token_id

    @property
    def media_ids(self) -> list[int]:
        tokenizer = self.processor.tokenizer
        return [self.video_token_id, self.processor.start_image_token_id, self.processor.end_image_token_id, tokenizer.convert_tokens_to_ids(self.placeholder)]

    def rotary(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        return self.decoder.rotary_emb(hidden, positions[0])

    def check(self) -> None:
        config = self.model.config
        side = config.vision_config.image_size[0] // config.vision_config.patch_size[0] * config.downsample_ratio
        got, expected = (self.processor.image_seq_length, self.processor.image_token_id), (int(side * side), config.image_token_id)
        if got != expected:
            raise ModelError(f"the processor's tokens a frame and frame token id are {got}, the model's are {expected}; load both from the same checkpoint")

    def fit(self, frames: np.ndarray) -> np.ndarray:
        video = self.processor.video_processor
        if frames.shape[1:3] == (video.size["height"], video.size["width"]):
            return frames
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
        return video.resize(pixels, size=video.size, resample=video.resample).permute(0, 2, 3, 1).contiguous().numpy()

    def tokens_per_patch(self, height_px: int, width_px: int) -> int:
        return self.processor.image_seq_length

    def spell(self, text: str, t_s: np.ndarray, height_px: int, width_px: int, encode: Encode) -> VideoTokens:
        written = self.processor.replace_video_token({"pixel_values_videos": [np.empty((len(t_s), 0))]}, 0)
        (spelled,), _ = self.processor.get_text_with_replacements([text], [], [written], [])
        ids = encode(spelled)
        pads = ids == self.video_token_id
        patch = np.full(len(ids), -1)
        patch[pads] = np.repeat(np.arange(len(t_s)), self.processor.image_seq_length)
        return VideoTokens(ids, np.broadcast_to(np.arange(len(ids)), (3, len(ids))), patch)

    def time_loss(self, t_s: np.ndarray) -> str | None:
        return f"the format numbers {len(t_s)} frames but cannot say when they were shown; questions about time need another family"

    def encode(self, frames: Tensor) -> Features:
        pixels = normalise(frames[:, 0], self.processor.video_processor, self.model.dtype)
        return Features(self.model.model.get_image_features(pixel_values=pixels).pooler_output)
