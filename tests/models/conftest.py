"""Tiny models of each family, and the plain path: one row a branch through the unmodified transformers model."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.video_utils import VideoMetadata

from videoperceiver.lab.backbone import FAMILIES, build_tiny
from videoperceiver.models import Backbone
from videoperceiver.types import Clip

SENTENCES = "what colour is the flash ? red green blue how many times one two three first then ; , look again ."
FPS = 4.0


@dataclass
class Plain:
    """A family's plain path."""

    model: torch.nn.Module
    processor: object

    def inputs(self, clip: Clip, question: str, answer: str = "", fps: float = FPS):
        """What the processor makes of one clip, question and (with its end of turn) answer."""
        content = [{"type": "video"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
        text += f"{answer}<|im_end|>" if answer else ""
        count = len(clip)
        metadata = VideoMetadata(total_num_frames=count, fps=fps, frames_indices=list(range(count)), height=clip.frames.shape[1], width=clip.frames.shape[2])
        return self.processor(text=[text], videos=[clip.frames], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt")

    def logps(self, clip: Clip, question: str, answer: str) -> torch.Tensor:
        """(n,) log-probabilities of the answer and its end of turn."""
        inputs = self.inputs(clip, question, answer)
        count = len(answer.split()) + 1
        logits = self.model(**inputs).logits[0, -count - 1 : -1].float()
        return logits.log_softmax(-1).gather(1, inputs["input_ids"][0, -count:, None]).squeeze(1)


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {family: build_tiny(tmp_path_factory.mktemp(family), SENTENCES.split(), family=family) for family in FAMILIES}


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


@pytest.fixture
def plain(folders, family) -> Plain:
    return Plain(AutoModelForImageTextToText.from_pretrained(folders[family]).eval(), AutoProcessor.from_pretrained(folders[family]))


@pytest.fixture
def backbone(folders, family) -> Backbone:
    return Backbone.load(folders[family], freeze_vision=False)


@pytest.fixture
def qwen(folders) -> Backbone:
    return Backbone.load(folders["qwen2_5_vl"], freeze_vision=False)


@pytest.fixture
def make_clip():
    def make(seed: int = 0, frames: int = 16, height: int = 32, width: int = 32, fps: float = FPS) -> Clip:
        pixels = np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), dtype=np.uint8)
        return Clip(pixels, np.arange(frames) / fps, f"clip{seed}")

    return make
