"""What to change where a run does not fit, or to make it cheaper: each change is planned anew, so that its saving is counted, not guessed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from videoperceiver.training.plan import Plan, StageConfig, plan
from videoperceiver.training.plan_gpus import GIB
from videoperceiver.training.plan_workload import Workload

SERVER_GPUS = 8
"""Of the machine that spreading is tried on."""
LORA_RANK = 16


@dataclass(frozen=True)
class Setting:
    """What a plan is made from."""

    config: StageConfig
    num_gpus: int
    workload: Workload


@dataclass(frozen=True)
class Change:
    """One change and what it brings.

    Attributes:
        said: in words.
        typed: what to add to the command.
        setting: with it.
        found: the plan with it.
        saved_gib: of one GPU.
    """

    said: str
    typed: str
    setting: Setting
    found: Plan
    saved_gib: float


@dataclass(frozen=True)
class _Lever:
    said: str
    typed: str
    pull: Callable[[Setting], Setting]


def changes(setting: Setting, before: Plan, *, least_gib: float = 0.05) -> list[Change]:
    """Every single change that applies, the largest saving first; those that save less than `least_gib` are left out."""
    found = [_changed(lever, setting, before) for lever in _levers(setting, before)]
    return sorted((change for change in found if change.saved_gib > least_gib), key=lambda change: -change.saved_gib)


def first_that_fit(setting: Setting, before: Plan) -> list[Change]:
    """Changes that fit together, taken one after another in the order of what they cost the result; empty where all of them are not enough."""
    taken: list[Change] = []
    while not before.fits:
        done = {change.said for change in taken}
        lever = next((lever for lever in _levers(setting, before) if lever.said not in done), None)
        if lever is None:
            return []
        change = _changed(lever, setting, before)
        taken.append(change)
        setting, before = change.setting, change.found
    return taken


def _changed(lever: _Lever, setting: Setting, before: Plan) -> Change:
    made = lever.pull(setting)
    found = plan(made.config, gpu=before.gpu, num_gpus=made.num_gpus, utilisation=before.utilisation, workload=made.workload)
    return Change(lever.said, lever.typed, made, found, (before.memory.total - found.memory.total) / GIB)


def _levers(setting: Setting, before: Plan) -> Iterator[_Lever]:
    """Those that apply, the ones that leave the result as it is first."""
    config, model = setting.config, setting.config.model
    if before.clips_a_micro_batch > 1:
        tokens = int(before.tokens) + 1
        yield _Lever("one clip at a time", f"runtime.micro_tokens={tokens}", lambda s: _with(s, runtime={"micro_tokens": tokens}))
    if not model.gradient_checkpointing:
        yield _Lever("compute blocks again (checkpointing)", "model.gradient_checkpointing=true", lambda s: _with(s, model={"gradient_checkpointing": True}))
    if model.dtype != "bfloat16":
        yield _Lever("bfloat16 arithmetic", "model.dtype=bfloat16", lambda s: _with(s, model={"dtype": "bfloat16"}))
    if before.spread.strategy != "fsdp2" and setting.num_gpus <= SERVER_GPUS <= config.batch_size:
        typed = f"--gpus {SERVER_GPUS} runtime.strategy=fsdp2"
        yield _Lever(f"FSDP2 over {SERVER_GPUS} GPUs", typed, lambda s: _with(replace(s, num_gpus=SERVER_GPUS), runtime={"strategy": "fsdp2"}))
    if before.stage == "grpo" and config.beta > 0:  # type: ignore[union-attr]
        yield _Lever("no reference model", "beta=0", lambda s: replace(s, config=replace(s.config, beta=0.0)))  # type: ignore[call-arg]
    if not model.freeze_vision:
        yield _Lever("freeze the vision tower", "model.freeze_vision=true", lambda s: _with(s, model={"freeze_vision": True}))
    if before.said.startswith("assumed") and setting.workload.frames > 3:
        frames = setting.workload.frames // 2
        yield _Lever("half the frames (half the fps in stage 0)", f"--frames {frames}", lambda s: replace(s, workload=replace(s.workload, frames=frames)))
    if before.stage == "grpo" and config.sampling.num_generations > 2:  # type: ignore[union-attr]
        count = config.sampling.num_generations // 2  # type: ignore[union-attr]
        yield _Lever("half the completions", f"sampling.num_generations={count}", lambda s: _with(s, sampling={"num_generations": count}))
    if not model.lora_rank:
        yield _Lever(f"LoRA of rank {LORA_RANK}", f"model.lora_rank={LORA_RANK}", lambda s: _with(s, model={"lora_rank": LORA_RANK}))


def _with(setting: Setting, **groups: dict[str, object]) -> Setting:
    """The setting with fields of the config's groups replaced."""
    made = {name: replace(getattr(setting.config, name), **fields) for name, fields in groups.items()}
    return replace(setting, config=replace(setting.config, **made))
