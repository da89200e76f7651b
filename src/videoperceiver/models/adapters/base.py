"""What a model family must answer for a Tree to run on it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from videoperceiver.errors import SampleError

VideoTimes = Literal["processor", "clip"]
"""Whose times a model is told: the processor's uniform grid, or each patch's own where the family's positions can hold them."""

Encode = Callable[[str], np.ndarray]
"""Text -> (L,) int64 ids, without adding specials."""


class Features(NamedTuple):
    """Projected video features of N patches of k tokens: what fills the video tokens, and what DeepStack adds after block i."""

    tokens: Tensor  # (N, k, D)
    deepstack: tuple[Tensor, ...] = ()  # each (N, k, D)

    def map(self, fn: Callable[[Tensor], Tensor]) -> "Features":
        """Apply to every tensor."""
        return Features(fn(self.tokens), tuple(fn(extra) for extra in self.deepstack))


@dataclass(frozen=True, eq=False)
class VideoTokens:
    """How a video is spelled, from the start of the conversation to the end-of-video token.

    Attributes:
        ids: (L,) int64.
        positions: (3, L) int64.
        patch: (L,) int64, which patch a video token shows, -1 for other tokens.
    """

    ids: np.ndarray
    positions: np.ndarray
    patch: np.ndarray


class Adapter(ABC):
    """A family's answers. Holds the plain Hugging Face model (never its PEFT wrapper) and its processor.

    Attributes:
        frames_per_patch: frames of one temporal patch.
        placeholder: the video in the rendered chat template, to its last character.
        image_placeholder: the same of a picture; "" where pictures are not supported.
        min_depth: the earliest block after which a pass may end.
    """

    placeholder: str
    image_placeholder: str = ""
    frames_per_patch: int = 1
    min_depth: int = 1

    def __init__(self, model: Any, processor: Any, video_times: VideoTimes = "processor"):
        self.model, self.processor, self.video_times = model, processor, video_times
        self.check()

    # what the model is made of

    @property
    def decoder(self) -> Any:
        """The language model: get_input_embeddings(), layers, norm, rotary_emb."""
        return self.model.model.language_model

    @property
    @abstractmethod
    def vision(self) -> list[nn.Module]:
        """Modules (tower and projector) that turn pixels into features."""

    @property
    @abstractmethod
    def video_token_id(self) -> int:
        """The token whose embedding a video feature replaces."""

    @property
    def image_token_id(self) -> int:
        """The same for a picture."""
        return self.video_token_id

    @property
    @abstractmethod
    def media_ids(self) -> list[int]:
        """Tokens a completion may not contain."""

    def rotary(self, hidden: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """cos and sin, each (R, W, head_dim), for positions (3, R, W)."""
        return self.decoder.rotary_emb(hidden, positions)

    @abstractmethod
    def check(self) -> None:
        """Refuse a processor that does not fit the model.

        Raises:
            ModelError: what differs.
        """

    # what a clip becomes

    @abstractmethod
    def fit(self, frames: np.ndarray) -> np.ndarray:
        """Resize frames (T, H, W, 3) uint8 as the family's own processor would."""

    @abstractmethod
    def tokens_per_patch(self, height_px: int, width_px: int) -> int:
        """Video tokens of one temporal patch."""

    @abstractmethod
    def spell(self, text: str, t_s: np.ndarray, height_px: int, width_px: int, encode: Encode) -> VideoTokens:
        """Spell a video whose patches start and end at the times given.

        Args:
            text: the chat template's text up to and including the placeholder.
            t_s: (patches, frames_per_patch) seconds of the source.
            height_px: of the frames after `fit`.
            width_px: of the same.
            encode: the tokenizer.
        """

    def told_times(self, t_s: np.ndarray) -> dict[str, Any]:
        """Video metadata that makes a processor of this family tell the patches' times (patches, frames_per_patch) as `spell` does."""
        return {"fps": 1.0, "frames_indices": t_s.reshape(-1).tolist()}  # one frame a second, so that index / fps is the clip's own time

    def second_per_grid(self, t_s: np.ndarray) -> float | None:
        """Seconds of a temporal patch, None where the family has no such number."""
        del t_s
        return None

    def fit_image(self, frames: np.ndarray) -> np.ndarray:
        """Resize a picture (1, H, W, 3) uint8 as the family's own image processor would.

        Raises:
            SampleError: the family's pictures are not supported here.
        """
        raise SampleError(f"rows with a picture are not supported for {self.model.config.model_type} models; leave them out, or use a Qwen-VL checkpoint")

    def spell_image(self, text: str, height_px: int, width_px: int, encode: Encode) -> VideoTokens:
        """Spell a picture, as `spell` does a video. Raises as `fit_image`."""
        raise SampleError(f"rows with a picture are not supported for {self.model.config.model_type} models; leave them out, or use a Qwen-VL checkpoint")

    def time_loss(self, t_s: np.ndarray) -> str | None:
        """What of the clip's times (T,) the family's format cannot express, None if nothing is lost."""
        del t_s
        return None

    @abstractmethod
    def encode(self, frames: Tensor) -> Features:
        """Features of patches (N, frames_per_patch, H, W, 3) uint8, each independent of the others."""


def normalise(frames: Tensor, video_processor: Any, dtype: torch.dtype) -> Tensor:
    """Pixels (..., H, W, 3) uint8 -> (..., 3, H, W), scaled and normalised exactly as the family's processor does in one step."""
    scale = 1 / video_processor.rescale_factor if video_processor.do_rescale else 1.0
    pixels = frames.movedim(-1, -3).to(torch.float32)
    if video_processor.do_normalize:
        shape = (3, 1, 1)
        mean = torch.tensor(video_processor.image_mean, device=frames.device).mul(scale).view(shape)
        std = torch.tensor(video_processor.image_std, device=frames.device).mul(scale).view(shape)
        return pixels.sub_(mean).div_(std).to(dtype)
    return (pixels / scale).to(dtype)
