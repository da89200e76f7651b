"""The paper's hours beside ours, planned for the true Qwen2.5-VL-7B: stage 1 (about 50 GPU-hours) and stage 2 (about 600), on 8 A100 80 GB.

The paper tells hours and batch sizes, and neither clip lengths, frame sizes, questions a clip nor steps, so clips are assumed and their length is varied.
Prints the tables of docs/plan.md; nothing is run on a GPU. The ratio is the planned hours of our stage-2 recipe over the paper's 600: another number of steps,
so it says what ours will take and not that either is faster. Goal: at most 1.
"""

from tree_common import arguments, report  # first: sets the number of threads

from videoperceiver.config import load
from videoperceiver.stages import GrpoConfig, SftConfig
from videoperceiver.training.plan import UTILISATION, Plan, plan
from videoperceiver.training.plan_workload import Workload

PAPER = {"sft": 50.0, "grpo": 600.0}
"""GPU-hours, paper 4.1."""
FOLDER, GPUS = "recipes/qwen2.5-vl-7b", 8
ASSUMED = ["train=[]", "output=unused"]


def stage_1(frames: int, recipe: str) -> Plan:
    """One pass over 80,000 clips."""
    return plan(load(SftConfig, f"{FOLDER}/{recipe}", ASSUMED), num_gpus=GPUS, workload=Workload(frames=frames))


def stage_2(frames: int) -> Plan:
    """The recommended recipe, one question a clip."""
    return plan(load(GrpoConfig, f"{FOLDER}/grpo.yaml", ASSUMED), num_gpus=GPUS, workload=Workload(frames=frames))


def show_stage_1(found: dict[int, Plan], recommended: dict[int, Plan]) -> None:
    """What the paper's hours would mean."""
    print("stage 1, recipes/qwen2.5-vl-7b/literal/sft.yaml, once over 80,000 clips; the paper: about 50 GPU-hours")
    print("frames  PFLOP a step  GPU-hours at 30 %  utilisation that 50 GPU-hours imply  without sharing")
    for frames, p in found.items():
        implied = p.gpu_hours * UTILISATION / PAPER["sft"]
        alone = implied * p.without_sharing / p.flops_a_step
        print(f"{frames:>6}  {p.flops_a_step / 1e15:>12.2f}  {p.gpu_hours:>17.0f}  {implied:>35.0%}  {alone:>15.0%}")
    for frames, p in recommended.items():
        parts = ", ".join(f"{name} {part / p.flops_a_step:.0%}" for name, part in p.operations.items())
        print(f"recommended recipe, {frames} frames: {p.gpu_hours:.0f} GPU-hours: {parts}")


def show_stage_2(found: dict[int, Plan]) -> None:
    """A step by part, and what dominates."""
    print("\nstage 2, recipes/qwen2.5-vl-7b/grpo.yaml, TFLOP of a step of 8 clips; the paper: about 600 GPU-hours, steps not told")
    print(f"{'part':<24}" + "".join(f"{frames:>10} frames" for frames in found))
    first = next(iter(found.values()))
    for name in first.operations:
        print(f"{name:<24}" + "".join(f"{p.operations[name] / 1e12:>17,.0f}" for p in found.values()))
    print(f"{'in all':<24}" + "".join(f"{p.flops_a_step / 1e12:>17,.0f}" for p in found.values()))
    print(f"{'without sharing':<24}" + "".join(f"{p.without_sharing / 1e12:>11,.0f} {p.without_sharing / p.flops_a_step:.1f}x" for p in found.values()))
    for frames, p in found.items():
        decoding = p.step_s - sum(part for name, part in p.operations.items() if not name.startswith("decoding")) / (GPUS * p.gpu.tflops * 1e12 * UTILISATION)
        steps, alone = (PAPER["grpo"] * 3600 / GPUS / seconds for seconds in (p.step_s, p.without_sharing / (GPUS * p.gpu.tflops * 1e12 * UTILISATION)))
        print(
            f"{frames} frames: update {p.operations['update'] / p.flops_a_step:.0%} of the operations; "
            f"a step {p.step_s:.1f} s, of which decoding {decoding:.1f} s; "
            f"{p.gpu_hours:.0f} GPU-hours for {p.steps:,} steps; 600 GPU-hours are {steps:,.0f} such steps, or {alone:,.0f} without sharing"
        )


def main() -> None:
    """Plan and report."""
    quick = arguments(__doc__ or "").quick
    literal = {frames: stage_1(frames, "literal/sft.yaml") for frames in ((30,) if quick else (4, 8, 15, 30))}
    recommended = {frames: stage_1(frames, "sft.yaml") for frames in (() if quick else (8, 30))}
    second = {frames: stage_2(frames) for frames in ((30,) if quick else (8, 30))}
    show_stage_1(literal, recommended)
    show_stage_2(second)
    detail = {
        "stage_1_gpu_hours": {frames: round(p.gpu_hours) for frames, p in literal.items()},
        "stage_2_gpu_hours": {frames: round(p.gpu_hours) for frames, p in second.items()},
        "paper": PAPER,
        "assumed": f"336x560 px, {UTILISATION:.0%} of peak",
    }
    report("paper_hours", second[30].gpu_hours / PAPER["grpo"], 1.0, detail, at_most=True)


if __name__ == "__main__":
    main()
