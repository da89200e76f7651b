"""What the tree benchmarks share: a tiny Qwen2.5-VL, its plain path, and paired timing."""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging as transformers_logging
from transformers.video_utils import VideoMetadata

from videoperceiver.lab.backbone import build_tiny
from videoperceiver.models import Backbone
from videoperceiver.types import Clip

torch.set_num_threads(1)
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()
WORDS = ["what", "colour", "is", "the", "flash", "?", "red", "green", "blue", "how", "many", "times", "one", "two", "three", ";"]


@dataclass
class Pair:
    """The same weights twice: run over trees, and as transformers runs them."""

    backbone: Backbone
    plain: torch.nn.Module
    processor: object

    @property
    def parameters(self) -> int:
        """Of one of them."""
        return sum(weight.numel() for weight in self.plain.parameters())

    def rows(self, clips: Sequence[Clip], texts: Sequence[tuple[str, str]], fps: float = 4.0) -> dict:
        """One padded row for each clip and (question, answer), each with its own pixels; labels on answer and end of turn."""
        prompts, videos, metadata = [], [], []
        for clip in clips:
            for question, answer in texts:
                content = [{"type": "video"}, {"type": "text", "text": question}]
                prompt = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
                prompts.append(prompt + (f"{answer}<|im_end|>" if answer else ""))
                videos.append(clip.frames)
                metadata.append(VideoMetadata(total_num_frames=len(clip), fps=fps, frames_indices=list(range(len(clip)))))
        inputs = dict(self.processor(text=prompts, videos=videos, video_metadata=metadata, do_sample_frames=False, padding=True, return_tensors="pt"))
        labels = torch.full_like(inputs["input_ids"], -100)
        for row, (_, answer) in enumerate([text for _ in clips for text in texts]):
            stop = int(inputs["attention_mask"][row].sum())
            count = len(answer.split()) + 1 if answer else 0
            labels[row, stop - count : stop] = inputs["input_ids"][row, stop - count : stop]
        return inputs | {"labels": labels}


def pair(*, freeze_vision: bool = False, **sizes: int) -> Pair:
    """Build both, 2-3 M parameters unless told otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        build_tiny(folder, WORDS, **{"hidden_size": 192, **sizes})
        backbone = Backbone.load(folder, freeze_vision=freeze_vision).train()
        return Pair(backbone, AutoModelForImageTextToText.from_pretrained(folder).train(), AutoProcessor.from_pretrained(folder))


def clips(count: int, *, frames: int = 16, side_px: int = 32, fps: float = 4.0) -> list[Clip]:
    """Noise."""
    rng = np.random.default_rng(0)
    return [Clip(rng.integers(0, 256, (frames, side_px, side_px, 3), dtype=np.uint8), np.arange(frames) / fps, f"clip{i}") for i in range(count)]


def adamw(model: torch.nn.Module) -> torch.optim.Optimizer:
    """The optimiser of a step."""
    return torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-4, fused=True)


def medians(*ways: Callable[[], object], repeats: int = 5, warm: bool = False) -> list[float]:
    """Median processor seconds of each way (one thread, so other processes do not count), in turns; one unmeasured round first unless warm."""
    seconds: list[list[float]] = [[] for _ in ways]
    for turn in range(int(warm), repeats + 1):
        for way, taken in zip(ways, seconds, strict=True):
            start = time.process_time()
            way()
            if turn:
                taken.append(time.process_time() - start)
    return [statistics.median(taken) for taken in seconds]


def arguments(description: str) -> argparse.Namespace:
    """`--quick`."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    return parser.parse_args()


def report(name: str, ratio: float, goal: float, detail: dict, *, at_most: bool = False) -> None:
    """Print the last line."""
    holds = ratio <= goal if at_most else ratio >= goal
    print(json.dumps({"name": name, "ratio": round(ratio, 3), "goal": goal, "holds": bool(holds), "detail": detail}))
