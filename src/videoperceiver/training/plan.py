"""What a training run will take, before it is run: parameters, operations, memory, hours, and what to change where it does not fit.

No weights, no GPU: the stage's own code grows its trees and runs a step on the meta device, where tensors have shapes and no numbers.

found = plan(load(SftConfig, "recipes/qwen2.5-vl-7b/sft.yaml", [...]), gpu="a100-80", num_gpus=8)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice

from videoperceiver.errors import ConfigError
from videoperceiver.models.flops import Flops
from videoperceiver.models.meta import MetaBackbone
from videoperceiver.stages import GrpoConfig, SftConfig
from videoperceiver.training import plan_trees
from videoperceiver.training.plan_gpus import GIB, Gpu, gpu_of
from videoperceiver.training.plan_memory import FRAGMENTATION, RESERVE, Memory, Spread, meta_backbone, resting, step_peak
from videoperceiver.training.plan_rollout import decode_seconds, rollout_memory
from videoperceiver.training.plan_trees import NONE, Planned
from videoperceiver.training.plan_workload import Workload, material, tokens_a_word

UTILISATION = 0.3
"""Of a GPU's peak that a training step reaches; our assumption. Plain PyTorch loops reach 0.2 to 0.35, well-tuned trainers 0.4 to 0.5."""
StageConfig = SftConfig | GrpoConfig


@dataclass(frozen=True)
class Part:
    """A part of the model, with what of it is trained."""

    name: str
    parameters: int
    trained: int


@dataclass(frozen=True)
class Plan:
    """What a run takes.

    Attributes:
        stage: "sft" or "grpo".
        model: hub id or folder.
        gpu: the type planned for.
        spread: over how many, and how.
        utilisation: of the GPU's peak, assumed.
        parts: of the model.
        said: where the clips come from.
        tokens: of a clip's tree, mean.
        clips_a_step, steps, epochs: of the run.
        micro_batches: a GPU runs one after another for a step.
        clips_a_micro_batch: at most.
        operations: of one step over all GPUs, by part.
        without_sharing: operations of the same step with one row a question or completion, each with a video of its own.
        memory: of one GPU at the fullest moment.
        step_s: seconds of a step.
        assumptions: every number that was not looked up, in words.
    """

    stage: str
    model: str
    gpu: Gpu
    spread: Spread
    utilisation: float
    parts: Sequence[Part]
    said: str
    tokens: float
    clips_a_step: int
    steps: int
    epochs: float
    micro_batches: int
    clips_a_micro_batch: int
    operations: dict[str, float]
    without_sharing: float
    memory: Memory
    step_s: float
    assumptions: Sequence[str] = field(default_factory=tuple)

    @property
    def flops_a_step(self) -> float:
        """All parts."""
        return sum(self.operations.values())

    @property
    def fits(self) -> bool:
        """Whether the fullest moment fits into the GPU."""
        return self.memory.total <= self.gpu.memory_gib * GIB

    @property
    def hours(self) -> float:
        """From first step to last; data, evaluation and checkpoints are not in it."""
        return self.step_s * self.steps / 3600

    @property
    def gpu_hours(self) -> float:
        """Over all GPUs."""
        return self.hours * self.spread.num_gpus


def plan(config: StageConfig, *, gpu: str | Gpu = "a100-80", num_gpus: int = 1, utilisation: float = UTILISATION, workload: Workload | None = None) -> Plan:
    """What a recipe's run takes.

    Args:
        config: of stage 1 or 2; `train` may name manifests that do not exist yet.
        gpu: a type of `plan_gpus.GPUS`.
        num_gpus: of that type.
        utilisation: of the type's peak, between 0 and 1.
        workload: clips as assumed, where the manifests do not exist.

    Raises:
        ConfigError: an unknown GPU or model, or GPUs without a clip.
        SampleError: a clip's tree exceeds `model.max_tokens`, or no clip of the manifest can be read.
    """
    gpu, workload = gpu_of(gpu) if isinstance(gpu, str) else gpu, workload or Workload()
    if not 0 < utilisation <= 1:
        raise ConfigError(f"utilisation is {utilisation}, expected a share of the GPU's peak above 0 and at most 1")
    if num_gpus < 1 or num_gpus > config.batch_size:
        raise ConfigError(
            f"{num_gpus} GPUs for batch_size={config.batch_size} clips a step: expected at least one GPU and at least one clip for each; raise batch_size"
        )
    spread = Spread(strategy(config, num_gpus), num_gpus)
    backbone = meta_backbone(config.model, spread, tokens_a_word(config.model, config.train))
    found = material(backbone, config.train, workload)
    if isinstance(config, SftConfig):
        clips = plan_trees.sft_planned(backbone, config, found)
        operations, alone = _sft_operations(backbone, config, clips)
    else:
        clips = plan_trees.grpo_planned(backbone, config, found, workload)
        operations, alone = _grpo_operations(backbone, config, clips, plan_trees.completion_tokens(config, workload))
    local = math.ceil(config.batch_size / num_gpus)
    tokens = sum(clip.update.num_tokens for clip in clips) / len(clips)
    together = max(1, min(local, int(config.runtime.micro_tokens // tokens))) if config.runtime.micro_tokens else local
    operations |= _padding(backbone, config, clips, together)
    operations = {name: part * config.batch_size / len(clips) for name, part in operations.items()}
    step_s = sum(part for name, part in operations.items() if not name.startswith("decoding")) / (num_gpus * gpu.tflops * 1e12 * utilisation)
    if isinstance(config, GrpoConfig):
        step_s += decode_seconds(backbone, config, list(islice(cycle(clips), local)), plan_trees.completion_tokens(config, workload), gpu)
    return Plan(
        stage="sft" if isinstance(config, SftConfig) else "grpo",
        model=config.model.path,
        gpu=gpu,
        spread=spread,
        utilisation=utilisation,
        parts=_parts(backbone),
        said=found.said,
        tokens=tokens,
        clips_a_step=config.batch_size,
        steps=config.steps,
        epochs=config.steps * config.batch_size / found.num_clips,
        micro_batches=math.ceil(local / together),
        clips_a_micro_batch=together,
        operations=operations,
        without_sharing=alone * config.batch_size / len(clips),
        memory=_memory(backbone, config, spread, clips, local, together, workload, on_gpu=gpu.memory_gib > 0),
        step_s=step_s,
        assumptions=_assumptions(config, utilisation, workload, spread),
    )


def strategy(config: StageConfig, num_gpus: int) -> str:
    """How the weights are spread, as the runtime would choose."""
    if num_gpus == 1:
        return "alone"
    return ("ddp" if config.model.lora_rank else "fsdp2") if config.runtime.strategy == "auto" else config.runtime.strategy


# --- memory ---


def _memory(
    backbone: MetaBackbone, config: StageConfig, spread: Spread, clips: Sequence[Planned], local: int, together: int, workload: Workload, *, on_gpu: bool
) -> Memory:
    """The update's fullest moment, or the rollout's where that is fuller."""
    half = config.model.dtype == "bfloat16"
    reference = isinstance(config, GrpoConfig) and config.beta > 0
    lying = resting(backbone, config.model, config.optim, spread, reference=reference)
    largest = sorted(clips, key=lambda clip: clip.update.num_tokens, reverse=True)
    batch = list(islice(cycle(largest), together))
    taps = config.contrastive.tap_blocks if isinstance(config, SftConfig) and config.contrastive.weight > 0 else ()
    pairs = [((t, full), (t, degraded)) for t, clip in enumerate(batch) for full, degraded in clip.pairs]
    backbone.shared_heads = not on_gpu
    peak = step_peak(backbone, [clip.update for clip in batch], taps, spread, half=half, accumulated=local > together, pairs=pairs)
    reserve = (RESERVE + FRAGMENTATION * (peak["activations"] + peak["logits"])) if on_gpu else 0.0
    update = Memory(**lying, **peak, cache=0.0, reserve=reserve, moment="update")
    if not isinstance(config, GrpoConfig) or config.engine.kind == "server":
        return update
    tokens = plan_trees.completion_tokens(config, workload)
    rollout = rollout_memory(backbone, config, spread, lying, list(islice(cycle(largest), local)), tokens, on_gpu=on_gpu)
    return max(update, rollout, key=lambda memory: memory.total)


# --- operations ---


def _sft_operations(backbone: MetaBackbone, config: SftConfig, clips: Sequence[Planned]) -> tuple[dict[str, float], float]:
    whole = plain = NONE
    alone = aside = 0.0
    for clip in clips:
        trained, untrained = plan_trees.forward_flops(backbone, clip.update)
        whole, aside = whole + trained, aside + untrained.forward
        plain += plan_trees.plain_flops(backbone, clip.update)
        leaves = [i for i, node in enumerate(clip.update.nodes) if node.labels is not None]
        alone += _step(config, plan_trees.rows_flops(backbone, clip.update, leaves)) + _step(config, plan_trees.extra_rows_flops(backbone, clip.update))
    vision, answers = whole.only("vision"), plain.only("language")
    rest = whole.only("language") - answers
    parts = {"vision tower": _step(config, vision), "questions and captions on V": _step(config, answers)}
    return parts | {"V', second view, keywords": _step(config, rest) + aside}, alone


def _grpo_operations(backbone: MetaBackbone, config: GrpoConfig, clips: Sequence[Planned], new_tokens: int) -> tuple[dict[str, float], float]:
    names = ("prefill on V", "prefill on V'", "decoding on V", "decoding on V'", "prefill of refeed", "decoding of refeed", "update", "reference model")
    total, alone = dict.fromkeys(names, 0.0), 0.0
    for clip in clips:
        for rollout in clip.rollouts:
            leaves = [*rollout.full, *rollout.degraded]
            both, first = (plan_trees.prefill_flops(backbone, rollout.tree, part).forward for part in (leaves, rollout.full))
            decoded = [plan_trees.decode_flops(backbone, rollout.tree, part, rollout.copies, new_tokens).forward for part in (rollout.full, rollout.degraded)]
            if rollout.name == "refeed":
                total["prefill of refeed"] += both * rollout.times
                total["decoding of refeed"] += decoded[0] * rollout.times
            else:
                total["prefill on V"] += first
                total["prefill on V'"] += both - first
                total["decoding on V"] += decoded[0]
                total["decoding on V'"] += decoded[1]
            alone += rollout.times * (plan_trees.rows_flops(backbone, rollout.tree, leaves).forward * rollout.copies + sum(decoded))
        update, _ = plan_trees.forward_flops(backbone, clip.update)
        total["update"] += _step(config, update) * config.num_iterations
        total["reference model"] += (update.language + update.head) if config.beta > 0 else 0.0
        leaves = [i for i, node in enumerate(clip.update.nodes) if node.labels is not None]
        alone += _step(config, plan_trees.rows_flops(backbone, clip.update, leaves)) * config.num_iterations
    return {name: value for name, value in total.items() if value}, alone


def _padding(backbone: MetaBackbone, config: StageConfig, clips: Sequence[Planned], together: int) -> dict[str, float]:
    """Of the updates, so many clips laid out together; nothing unless attention is dense, as it is for short trees."""
    groups = math.ceil(len(clips) / together)
    every, total = cycle(clip.update for clip in clips), 0.0
    for _ in range(groups):
        trained, aside = plan_trees.padding_flops(backbone, list(islice(every, together)))
        total += _step(config, trained) + aside.forward
    times = config.num_iterations if isinstance(config, GrpoConfig) else 1
    return {"padding and masked pairs": total * times * len(clips) / (groups * together)} if total else {}


def _step(config: StageConfig, forward: Flops) -> float:
    return forward.step(train_vision=not config.model.freeze_vision, checkpointing=config.model.gradient_checkpointing, low_rank=config.model.lora_rank > 0)


# --- words ---


def _parts(backbone: MetaBackbone) -> list[Part]:
    adapter = backbone.adapter
    head, table = adapter.model.get_output_embeddings(), adapter.decoder.get_input_embeddings()
    tied = head.weight is table.weight
    rows = [
        ("vision tower and projector", adapter.vision),
        ("token embeddings" + (" (also the head)" if tied else ""), [table]),
        ("decoder blocks", [adapter.decoder.layers]),
    ]
    rows += [] if tied else [("output head", [head])]
    parts = []
    for name, modules in rows:
        weights = [weight for module in modules for key, weight in module.named_parameters() if ".lora_" not in key]
        parts.append(Part(name, sum(w.numel() for w in weights), sum(w.numel() for w in weights if w.requires_grad)))
    low_rank = sum(weight.numel() for key, weight in backbone.named_parameters() if ".lora_" in key)
    other = sum(weight.numel() for weight in backbone.parameters()) - sum(part.parameters for part in parts) - low_rank
    parts += (
        [Part("norms", other, sum(w.numel() for w in backbone.parameters() if w.requires_grad) - sum(p.trained for p in parts) - low_rank)] if other else []
    )
    return parts + ([Part("LoRA", low_rank, low_rank)] if low_rank else [])


def _assumptions(config: StageConfig, utilisation: float, workload: Workload, spread: Spread) -> list[str]:
    said = [
        f"the GPU reaches {utilisation:.0%} of its bf16 peak in a step (--utilisation); communication, data and evaluation are in that share or not counted",
        f"{RESERVE / GIB:g} GiB and {FRAGMENTATION:.0%} of activations are lost to CUDA, NCCL and gaps between tensors",
    ]
    if isinstance(config, GrpoConfig):
        length = plan_trees.completion_tokens(config, workload)
        bound = "as many as the recipe allows" if length == config.sampling.max_new_tokens else "as told"
        said.append(f"completions have {length} tokens ({bound})")
        if config.sampling.max_refeed and config.reward.objective == "comparative":
            said.append(f"{workload.refeed_share:.0%} of groups are drawn again at each further try")
        if config.engine.kind == "server":
            said.append("completions are drawn on other machines: neither their memory nor their time is in here")
    if isinstance(config, SftConfig) and config.contrastive.text_encoder == "bert" and config.contrastive.weight > 0:
        said.append("the text encoder of the keywords (about 0.1 B parameters, frozen) is not counted")
    if spread.strategy == "fsdp2":
        said.append("FSDP2 keeps two gathered decoder blocks and everything outside the blocks at a time")
    return said
