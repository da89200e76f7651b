"""Fields of stage 1."""

from dataclasses import dataclass, field
from typing import Literal

from omegaconf import MISSING

from videoperceiver.errors import ConfigError
from videoperceiver.stages.operators import check_operator
from videoperceiver.stages.training import (
    CAPTION_PROMPT,
    IMAGE_PROMPT,
    REFEED_INSTRUCTION,
    ExportConfig,
    HeldOutConfig,
    ModelConfig,
    OptimConfig,
    RuntimeConfig,
)


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
class EventConfig:
    """How stage 1 treats questions about the event (docs/method.md, "Beyond the paper")."""

    weight: float = 0.0  # a second cross-entropy over their answers alone: captions and scenery have most of the tokens
    share: float = 1.0  # of them, those that uniform_weight and joint_weight ask V' too: less costs less; the means expect the same

    def __post_init__(self) -> None:
        if self.weight < 0 or not 0 < self.share <= 1:
            raise ConfigError(
                f"events.weight and share are {self.weight:g} and {self.share:g}; expected weight >= 0, 0 < share <= 1; "
                "uniform_weight=0 joint_weight=0 asks V' nothing"
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
    events: EventConfig = field(default_factory=EventConfig)
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
        check_operator(self.operator or "hold")
