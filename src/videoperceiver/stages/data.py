"""Fields of stage 0."""

from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from videoperceiver.errors import ConfigError
from videoperceiver.plugins import suggestion
from videoperceiver.stages.operators import check_operator
from videoperceiver.stages.validate import ValidateConfig

QUESTION_FAMILIES = ("when", "count", "order", "which", "happens", "changed", "motion")
"""What an annotator asks: when, how many times, before/after and order, which of these, whether at all, what changes, direction and speed."""


@dataclass(frozen=True)
class AnnotateServerConfig:
    """The server of `annotate.method: endpoint`, and what it may cost. A continued run may change these: they change no answer."""

    base_url: str = ""  # up to "/v1"; empty = OPENAI_BASE_URL. The key comes from OPENAI_API_KEY alone
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # what the server calls the longest answer; some closed models refuse the first
    num_parallel: int = 8  # requests in flight
    timeout_s: float = 120.0  # of each phase of a request, and of receiving an answer
    max_retries: int = 4  # further tries of a request that failed, or whose answer cannot be used
    requests_per_minute: float = 0.0  # 0 = no limit
    tokens_per_minute: float = 0.0  # 0 = no limit
    token_budget: int = 10_000_000  # over all sessions of the run; no request is sent once this many were spent
    cost_budget: float = 0.0  # in the prices' currency; 0 = no limit
    price_prompt: float = 0.0  # of a million prompt tokens; 0 = costs are not counted
    price_answer: float = 0.0  # of a million answer tokens

    def __post_init__(self) -> None:
        for name, least in (("num_parallel", 1), ("max_retries", 0), ("token_budget", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"annotate.server.{name} is {getattr(self, name)}; expected at least {least}")
        if self.timeout_s <= 0:
            raise ConfigError(f"annotate.server.timeout_s is {self.timeout_s:g}; expected seconds above 0")
        for name in ("requests_per_minute", "tokens_per_minute", "cost_budget", "price_prompt", "price_answer"):
            if getattr(self, name) < 0:
                raise ConfigError(f"annotate.server.{name} is {getattr(self, name):g}; expected 0 (none) or more")
        if self.cost_budget > 0 and not (self.price_prompt or self.price_answer):
            raise ConfigError(f"annotate.server.cost_budget is {self.cost_budget:g} without a price; set price_prompt and price_answer, or use token_budget")


@dataclass(frozen=True)
class AnnotateConfig:
    """Who writes captions and questions for clips: nobody, templates over annotated events, a server's model, or a local one."""

    method: Literal["none", "templated", "endpoint", "transformers"] = "none"
    captions: bool = True  # for clips that have none
    questions: int = 8  # a clip, at most; 0 = captions alone
    families: list[str] = field(default_factory=list)  # of QUESTION_FAMILIES; empty = all
    choice_share: float = 0.5  # of the questions that can be asked either way, asked with options
    num_options: int = 4  # at most; a clip with few events has fewer
    model: str = ""  # endpoint: the server's name of it, empty = OPENAI_MODEL; transformers: a folder or hub id
    num_frames: int = 16  # shown to a model, evenly spread
    frame_px: int = 448  # longer side of a frame as it is sent
    max_answer_tokens: int = 2048
    server: AnnotateServerConfig = field(default_factory=AnnotateServerConfig)

    def __post_init__(self) -> None:
        if unknown := [name for name in self.families if name not in QUESTION_FAMILIES]:
            near = suggestion(unknown[0], dict.fromkeys(QUESTION_FAMILIES))
            raise ConfigError(f"annotate.families has {unknown[0]!r}{near}; expected some of {', '.join(QUESTION_FAMILIES)}")
        for name, least in (("questions", 0), ("num_options", 2), ("num_frames", 1), ("frame_px", 32), ("max_answer_tokens", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"annotate.{name} is {getattr(self, name)}; expected at least {least}")
        if not 0 <= self.choice_share <= 1:
            raise ConfigError(f"annotate.choice_share is {self.choice_share:g}; expected a share from 0 to 1")
        if self.method != "none" and not (self.captions or self.questions):
            raise ConfigError(f"annotate.method is {self.method} with captions: false and questions: 0, so nothing would be written; set one, or method: none")
        if self.method == "transformers" and not self.model:
            raise ConfigError("annotate.method: transformers needs annotate.model: a folder or hub id of a model that reads pictures")


@dataclass(frozen=True)
class DataRuntimeConfig:
    """How stage 0 is spread over processes. A continued run may change these, and its executor: they change no row."""

    num_workers: int = 2  # processes that score clips; 1 = this one
    decoders: int = 1  # processes of each worker that decode; several feed one worker with a network on a GPU
    deadline_s: float = 60.0  # a clip that takes the decoder longer is rejected
    memory_mb: int = 2048  # what decoding one clip may allocate
    chunk: int = 8  # clips that a worker is given at once

    def __post_init__(self) -> None:
        for name in ("num_workers", "decoders", "deadline_s", "memory_mb", "chunk"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"runtime.{name} is {getattr(self, name):g}; expected a number above 0")


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
    annotate: AnnotateConfig = field(default_factory=AnnotateConfig)
    validate: ValidateConfig = field(default_factory=ValidateConfig)
    shares: dict[str, float] = field(default_factory=dict)  # split -> share, by video, of clips whose source names none; empty = all are `split`
    executor: Literal["local", "ray"] = "local"  # processes of this machine, or Ray Data on a cluster
    runtime: DataRuntimeConfig = field(default_factory=DataRuntimeConfig)
    max_reject_rate: float = 0.05

    def __post_init__(self) -> None:
        check_operator(self.operator)
        if self.shares and (self.shares.keys() - {"train", "validation", "test"} or min(self.shares.values()) < 0 or abs(sum(self.shares.values()) - 1) > 1e-6):
            raise ConfigError(f"shares is {dict(self.shares)}; expected shares of train, validation and test that sum to 1, as {{train: 0.9, test: 0.1}}")
