"""Fields of stage 0."""

from dataclasses import dataclass
from typing import Literal

from omegaconf import MISSING

from videoperceiver.stages.operators import check_operator


@dataclass(frozen=True)
class DataConfig:
    """Stage 0: clips -> keywords -> key frames -> V' -> manifest (paper 3.1, 3.4)."""

    source: str = MISSING  # a folder of videos (with an optional captions.jsonl) or a manifest of samples
    output: str = MISSING
    format: str = "auto"  # a manifest or a folder; or folder, table, webdataset, hmdb51-1 (-2, -3: its splits), celebv_hq, mm_au, video_r1
    frame_fps: float = 0.0  # images a second of clips that are folders of numbered images; 0 = there are none
    split: str = "train"  # given to clips that do not name one
    limit: int = 0  # clips to take; 0 = all
    seed: int = 0
    keywords: Literal["spacy", "endpoint", "transformers"] = "spacy"
    relevance: Literal["motion", "proxy", "clip", "siglip2", "blip2"] = "proxy"
    relevance_model: str = ""  # id or folder, for the transformers backends
    fps: float = 4.0  # base sampling; a sample that brings its own t_s keeps it
    dense_fps: float = 8.0  # outside events, to make them rare (paper: 8 fps)
    target_share: float = 0.05  # of frames inside events after sparsification (paper: 5 %)
    max_frames: int = 128  # a clip that needs more is rejected, never cut
    operator: str = "hold"  # of V': one of OPERATORS, or your own as 'package.module:function' or 'file.py:function'
    literal_keyframes: bool = False  # eq. (2) as written: every local maximum
    prominence: float = 0.25  # of the score range
    rel_height: float = 0.4  # of the score range
    removed_threshold: float = 0.5  # V' counts as free of the event when no replaced frame exceeds this share of the range of scores
    num_workers: int = 2
    deadline_s: float = 60.0
    memory_mb: int = 2048
    max_reject_rate: float = 0.05

    def __post_init__(self) -> None:
        check_operator(self.operator)
