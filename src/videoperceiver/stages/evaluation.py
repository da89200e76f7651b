"""Fields of the evaluation."""

from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from videoperceiver.errors import ConfigError
from videoperceiver.stages.training import ModelConfig

CONDITIONS = ("full", "degraded", "shuffled", "blank", "text")
"""What a model may see: V, V', V's frames in another order, grey frames, the question alone."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """A public benchmark in place of a manifest. What overrides its protocol is listed in the result and part of the digest; 0 = the protocol's own."""

    name: str = ""  # of evaluation.benchmarks.BENCHMARKS; empty = the manifest's questions
    annotations: str = ""  # the official file, or the folder it lies in
    videos: str = ""  # folder of the videos under their official names; empty = not needed (engine "file", condition "text")
    strict: bool = False  # a missing video, a broken row or a wrong number of questions fails the run before it begins
    num_frames: int = 0  # evenly spread
    fps: float = 0.0
    max_frames: int = 0
    max_pixels: int = 0  # of a frame
    caption_metrics: list[str] = field(default_factory=lambda: ["rouge"])  # also: meteor, meteor-coco, cider, spice, comet


@dataclass(frozen=True)
class EngineConfig:
    """Who answers: the checkpoint in this process, a server that speaks the OpenAI chat format (vLLM, closed models), or a file of answers."""

    kind: Literal["tree", "endpoint", "file"] = "tree"
    answers: str = ""  # of kind "file": JSON lines of {"sample", "question", "completion"}, "condition" where it is not "full"
    base_url: str = ""  # of kind "endpoint", up to "/v1"; empty = OPENAI_BASE_URL. The key comes from OPENAI_API_KEY alone
    media: Literal["frames", "video", "sequence"] = "frames"  # JPEG images with their times in words; one MP4; vLLM's own: exactly these frames and times
    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # what the server calls the longest answer; some closed models refuse the first
    num_parallel: int = 8  # requests in flight
    timeout_s: float = 120.0
    max_retries: int = 5
    token_budget: int = 100_000_000  # no request is sent once this many were spent


@dataclass(frozen=True)
class EvidenceConfig:
    """How V' is made for clips that bring none: stage 0's functions, from each question's own words."""

    keywords: Literal["question", "spacy", "endpoint", "transformers"] = "spacy"  # question: its text and options as they are
    relevance: Literal["motion", "proxy", "clip", "siglip2", "blip2"] = "proxy"
    relevance_model: str = ""  # id or folder, for the transformers backends
    operator: Literal["hold", "predecessor", "random", "shuffle", "reverse", "freeze", "blank"] = "hold"
    prominence: float = 0.25  # of the score range
    rel_height: float = 0.4  # of the score range


@dataclass(frozen=True)
class EvaluateConfig:
    """Evaluation of one model on one manifest or public benchmark, under several conditions."""

    model: ModelConfig = field(default_factory=ModelConfig)  # at an endpoint, model.path is the server's name of it
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    evidence: EvidenceConfig = field(default_factory=EvidenceConfig)
    manifest: str = ""  # a manifest's own questions; leave empty where benchmark.name is given
    output: str = MISSING
    split: str = "test"  # of a manifest; empty = all
    conditions: list[str] = field(default_factory=lambda: ["full", "degraded"])  # of CONDITIONS
    prompt: Literal["direct", "reasoning"] = "direct"  # reasoning: an instruction to think first is appended
    num_samples: int = 1  # answers a question; more than one are drawn at `temperature`, their scores averaged
    temperature: float = 0.0  # 0 = greedy
    batch_size: int = 16  # clips
    clip_cache: str = ""  # folder that keeps a manifest's decoded clips at their stored size, for later evaluations; empty = none
    max_new_tokens: int = 0  # 0 = the benchmark's, 64 for a manifest, 1,024 at least for prompt=reasoning
    limit: int = 0  # clips; 0 = all
    seed: int = 0  # of the shuffled control, of drawn answers and of the bootstrap
    max_reject_rate: float = 0.05

    def __post_init__(self) -> None:
        if unknown := [name for name in self.conditions if name not in CONDITIONS]:
            raise ConfigError(f"conditions has {unknown[0]!r}, expected some of {', '.join(CONDITIONS)}")
        if not self.conditions or len(set(self.conditions)) < len(self.conditions):
            raise ConfigError(f"conditions is {list(self.conditions)}, expected each of {', '.join(CONDITIONS)} at most once and at least one")
        if self.num_samples < 1 or (self.num_samples > 1 and self.temperature <= 0):
            raise ConfigError(f"num_samples is {self.num_samples} at temperature {self.temperature}: expected 1, or more at a temperature above 0")
        if self.clip_cache and self.benchmark.name:
            raise ConfigError(f"clip_cache is {self.clip_cache!r}: only a manifest's clips are kept; leave it empty where benchmark.name is given")
