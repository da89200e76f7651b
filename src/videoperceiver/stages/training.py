"""What both training stages share: the model, its optimizer, how a run is spread over processes, watched and exported."""

from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from videoperceiver.errors import ConfigError

REFEED_INSTRUCTION = "Re-answer with attention to fine-grained visual details."
"""Paper 3.3; asked in a share of stage 1's questions too: an instruction the model never saw destroys its answers."""

CAPTION_PROMPT = "Describe the video."
IMAGE_PROMPT = "Describe the image."


@dataclass(frozen=True)
class ModelConfig:
    """A Hugging Face checkpoint and how much of it is trained."""

    path: str = MISSING  # hub id or folder
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    freeze_vision: bool = True
    lora_rank: int = 0  # 0 = full fine-tuning
    gradient_checkpointing: bool = True
    attention: Literal["auto", "dense", "segments", "flex"] = "auto"
    video_times: Literal["processor", "clip"] = "processor"  # clip: each patch at its own time, where the processor would assume an even grid
    max_tokens: int = 16384  # a tree; a sample that needs more is rejected, media are never cut


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule."""

    lr: float = 1e-5
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    warmup_share: float = 0.03
    weight_decay: float = 0.0
    clip_norm: float = 1.0
    ema_decay: float = 0.0  # moving average of the trained weights beside them, e.g. 0.999; 0 = none

    def __post_init__(self):
        if not 0 <= self.ema_decay < 1:
            raise ConfigError(f"optim.ema_decay is {self.ema_decay:g}; expected 0 (no average) or a number below 1, e.g. 0.999")


@dataclass(frozen=True)
class RuntimeConfig:
    """How a stage is spread over processes, memory and time. A run may be resumed with other values: nothing here changes what is learned beyond rounding,
    but for the contrastive negatives, which come from one micro-batch."""

    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"  # of several processes; auto: fsdp2 for full fine-tuning, ddp for LoRA
    micro_tokens: int = 0  # tokens of a micro-batch; clips are ordered by length and packed up to it; 0 = a step at once
    num_workers: int = 0  # processes that decode the coming steps' clips; 0 = decode when the step needs them
    prefetch: int = 32  # clips decoded ahead
    deadline_s: float = 60.0  # a clip that takes a worker longer is rejected
    memory_mb: int = 2048  # what a worker may allocate for one clip
    clip_cache: str = ""  # folder that keeps decoded clips at model size, so that later epochs and runs read them from it; empty = none
    trackers: list[str] = field(default_factory=list)  # tensorboard, trackio, wandb; metrics.jsonl is always written

    def __post_init__(self):
        for name, least in (("micro_tokens", 0), ("num_workers", 0), ("prefetch", 1), ("memory_mb", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"runtime.{name} is {getattr(self, name)}; expected at least {least}")
        if self.deadline_s <= 0:
            raise ConfigError(f"runtime.deadline_s is {self.deadline_s:g}; expected seconds above 0")


@dataclass(frozen=True)
class HeldOutConfig:
    """Periodic evaluation on clips that are not trained on."""

    every: int = 0  # steps; 0 = never
    manifests: list[str] = field(default_factory=list)  # empty = the training manifests
    split: str = "validation"
    clips: int = 64
    max_new_tokens: int = 16
    best_by: str = ""  # keep and export the checkpoint where this is largest, e.g. accuracy_full or t2v_r1; empty = the last


@dataclass(frozen=True)
class ExportConfig:
    """The model folder that a finished run leaves."""

    adapter: bool = False  # with LoRA: the adapter alone, in place of merged weights
    ema: bool = False  # the averaged weights
    push_to_hub: str = ""  # name of a private repository, e.g. me/my-model; the key is read from HF_TOKEN
