"""Fields of stage 2."""

from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from videoperceiver.errors import ConfigError
from videoperceiver.stages.operators import check_operator
from videoperceiver.stages.training import REFEED_INSTRUCTION, ExportConfig, HeldOutConfig, ModelConfig, OptimConfig, RuntimeConfig


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
    max_model_len: int = 0  # colocated: longest prompt and completion together, for which the cache must have room; 0 = the checkpoint's own length
    eager: bool = False  # colocated: without compilation and CUDA graphs, which start slowly
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
        check_operator(self.operator or "hold")


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
