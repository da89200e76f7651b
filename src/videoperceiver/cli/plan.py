"""`videoperceiver plan`: what a training run will take, as tables or as JSON."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from videoperceiver.cli.boundary import app
from videoperceiver.cli.stages import Overrides, Recipe
from videoperceiver.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from videoperceiver.training.plan import Plan
    from videoperceiver.training.plan_changes import Change


@app.command()
def plan(
    recipe: Recipe,
    overrides: Overrides = None,
    gpu: Annotated[str, typer.Option(help="Type: a100-80, a100-40, h100, h200, l40s, rtx4090, ...; a wrong one lists all.")] = "a100-80",
    gpus: Annotated[int, typer.Option(min=1, help="How many; more than one share the weights as runtime.strategy says.")] = 1,
    utilisation: Annotated[float | None, typer.Option(help="Share of the GPU's bf16 peak that a step reaches. [default: 0.3]", show_default=False)] = None,
    frames: Annotated[int | None, typer.Option(help="Of a clip, where there is no manifest yet. [default: 30]", show_default=False)] = None,
    size: Annotated[str | None, typer.Option(metavar="HxW", help="Of a frame as the model sees it. [default: 336x560]", show_default=False)] = None,
    questions: Annotated[int | None, typer.Option(help="Of a clip. [default: 3]", show_default=False)] = None,
    clips: Annotated[int | None, typer.Option(help="In the data set. [default: 80000]", show_default=False)] = None,
    completion_tokens: Annotated[int | None, typer.Option(help="Of stage 2's answers. [default: sampling.max_new_tokens]", show_default=False)] = None,
    changes: Annotated[bool, typer.Option("--changes", help="Plan every single change that saves memory, also where the run fits.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What a run of stage 1 or 2 will take: parameters, operations, memory, hours. Needs no weights and no GPU.

    Where `train` names manifests that exist, real clips are looked at; else clips are assumed, and the plan says so.
    """
    from videoperceiver.cli.boundary import say

    config = _load(recipe, overrides or [])
    from videoperceiver.training import plan as planning
    from videoperceiver.training.plan_changes import Setting, first_that_fit
    from videoperceiver.training.plan_changes import changes as single_changes
    from videoperceiver.training.plan_workload import Workload

    height, width = _size(size) if size else (None, None)
    given = {"frames": frames, "height_px": height, "width_px": width, "questions": questions, "clips": clips, "completion_tokens": completion_tokens}
    workload = Workload(**{name: value for name, value in given.items() if value is not None})
    found = planning.plan(config, gpu=gpu, num_gpus=gpus, utilisation=planning.UTILISATION if utilisation is None else utilisation, workload=workload)
    setting = Setting(config, gpus, workload)
    if (changes or not found.fits) and not as_json:
        say("planning each change ...", style="dim")
    singles = single_changes(setting, found) if changes or not found.fits else []
    together = [] if found.fits else first_that_fit(setting, found)
    if as_json:
        typer.echo(json.dumps(_record(found, singles, together), indent=2))
    else:
        _show(found, singles, together)


def _load(recipe: Path, overrides: list[str]) -> Any:
    """The recipe as stage 1's or stage 2's config: by the fields that one of them alone has, then by its name."""
    from dataclasses import fields

    import yaml

    from videoperceiver.config import load
    from videoperceiver.stages import GrpoConfig, SftConfig

    stages = {"sft": SftConfig, "grpo": GrpoConfig}
    written: set[str] = set()
    if recipe.is_file():
        try:
            content = yaml.safe_load(recipe.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError):
            content = None  # `load` says what is wrong with it
        written = set(content) if isinstance(content, dict) else set()
    own = {name: {f.name for f in fields(cls)} for name, cls in stages.items()}
    only = {name: len(written & (own[name] - own["grpo" if name == "sft" else "sft"])) for name in stages}
    if only["sft"] != only["grpo"]:
        chosen = max(only, key=lambda name: only[name])
    else:
        named = [name for name in stages if name in recipe.stem]
        if len(named) != 1 and recipe.is_file():
            raise ConfigError(f"recipe {recipe}: it may be one of stage 1 or of stage 2; put 'sft' or 'grpo' into its file name")
        chosen = named[0] if named else "sft"
    defaults = [
        text for key, text in (("train", "train=[]"), ("output", "output=plan")) if key not in written and not any(o.startswith(f"{key}=") for o in overrides)
    ]
    return load(stages[chosen], recipe, [*defaults, *overrides])


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdigit() and width.isdigit() and int(height) and int(width)):
        raise ConfigError(f"--size: got {text!r}, expected height x width in pixels, for instance 336x560")
    return int(height), int(width)


# --- tables ---


def _show(found: "Plan", singles: "list[Change]", together: "list[Change]") -> None:
    from rich.console import Console

    console = Console()
    stage = {"sft": "stage 1", "grpo": "stage 2"}[found.stage]
    num = found.spread.num_gpus
    how = {"alone": "", "ddp": ", whole weights on each (DDP)", "fsdp2": ", weights shared out (FSDP2)"}[found.spread.strategy]
    console.print(f"[bold]{stage} of {found.model} on {num} x {found.gpu.title}{how}[/bold]", highlight=False)
    console.print(f"Clips: {found.said}.", highlight=False)
    console.print(_parameters(found))
    console.print(_memory(found))
    console.print(_operations(found))
    fits = "[green]It fits.[/green]" if found.fits else "[bold red]It does not fit.[/bold red]"
    console.print(
        f"{fits} {found.memory.total / 2**30:.1f} of {found.gpu.memory_gib:g} GiB a GPU; "
        f"[bold]{found.hours:,.1f} hours, {found.gpu_hours:,.1f} GPU-hours[/bold] for {found.steps:,} steps ({found.epochs:.2g} times over the data).",
        highlight=False,
    )
    if singles:
        console.print(_changes(found, singles))
    if together:
        typed = " ".join(change.typed for change in together)
        last = together[-1].found
        text = f"Together, the first {len(together)} that fit: {typed}\n  {last.memory.total / 2**30:.1f} GiB a GPU, {last.gpu_hours:,.1f} GPU-hours"
        console.print(text, highlight=False, markup=False)
    elif not found.fits:
        console.print("All these changes together do not make it fit: take a GPU with more memory, more GPUs, or a smaller model.", highlight=False)
    console.print("Assumed, not measured: " + "; ".join(found.assumptions) + ".", style="dim", highlight=False, markup=False)


def _table(title: str, *columns: str) -> "Table":
    from rich.table import Table

    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    return table


def _parameters(found: "Plan") -> "Table":
    table = _table("\nParameters", "part", "in all", "trained")
    for part in found.parts:
        table.add_row(part.name, _count(part.parameters), _count(part.trained) if part.trained else "frozen")
    table.add_row("all", _count(sum(p.parameters for p in found.parts)), _count(sum(p.trained for p in found.parts)), style="bold")
    return table


def _memory(found: "Plan") -> "Table":
    memory = found.memory
    moment = "drawing completions" if memory.moment == "rollout" else "the update"
    table = _table(f"\nMemory of one GPU at its fullest moment, {moment}", "part", "GiB", "what it is")
    table.columns[2].justify = "left"
    rows = (
        ("weights", memory.weights, "float32 where trained, the recipe's type where frozen"),
        ("gathered weights", memory.gathered, "whole copies of what runs at the moment"),
        ("gradients", memory.gradients, "those complete by then; they come as activations go"),
        ("optimizer", memory.optimizer, "AdamW's two moments, and the average of weights if there is one"),
        ("activations", memory.activations, f"{found.clips_a_micro_batch} clips of {found.tokens:,.0f} tokens at a time"),
        ("logits", memory.logits, "scores over the vocabulary, held in parts and let go early"),
        ("keys and values", memory.cache, "of prompts and completions while they are drawn"),
        ("reserve", memory.reserve, "CUDA, and gaps between tensors"),
    )
    for name, size, said in rows:
        if size or name in ("gradients", "logits"):
            table.add_row(name, f"{size / 2**30:.2f}", said)
    table.add_row("all", f"{memory.total / 2**30:.2f}", f"of {found.gpu.memory_gib:g} GiB", style="bold" if found.fits else "bold red")
    return table


def _operations(found: "Plan") -> "Table":
    table = _table(f"\nOperations of a step, {found.clips_a_step} clips", "part", "TFLOP", "share")
    for name, part in found.operations.items():
        table.add_row(name, f"{part / 1e12:,.0f}", f"{part / found.flops_a_step:.0%}")
    table.add_row("all", f"{found.flops_a_step / 1e12:,.0f}", f"{found.step_s:,.1f} s", style="bold")
    table.add_row("without sharing", f"{found.without_sharing / 1e12:,.0f}", f"{found.without_sharing / found.flops_a_step:.1f} x", style="dim")
    return table


def _changes(found: "Plan", singles: "list[Change]") -> "Table":
    table = _table("\nWhat one change alone would save", "change", "GiB saved", "GiB then", "fits", "GPU-hours", "type")
    table.columns[5].justify, table.columns[5].no_wrap = "left", True
    for change in singles:
        then = change.found
        fits = "[green]yes[/green]" if then.fits else "no"
        table.add_row(change.said, f"{change.saved_gib:.1f}", f"{then.memory.total / 2**30:.1f}", fits, f"{then.gpu_hours:,.1f}", change.typed)
    return table


def _count(number: int) -> str:
    if number < 1000:
        return str(number)
    size, unit = next((size, unit) for size, unit in ((1e9, " B"), (1e6, " M"), (1e3, " k")) if number >= size)
    return f"{number / size:.2f}{unit}"


def _record(found: "Plan", singles: "list[Change]", together: "list[Change]") -> dict[str, Any]:
    from dataclasses import asdict

    def brief(change: "Change") -> dict[str, Any]:
        then = change.found
        return {"change": change.said, "type": change.typed, "saved_gib": change.saved_gib, "total_gib": then.memory.total / 2**30, "fits": then.fits} | {
            "gpu_hours": then.gpu_hours
        }

    return asdict(found) | {
        "fits": found.fits,
        "memory_total": found.memory.total,
        "flops_a_step": found.flops_a_step,
        "flops": found.flops_a_step * found.steps,
        "hours": found.hours,
        "gpu_hours": found.gpu_hours,
        "changes": [brief(change) for change in singles],
        "together": [brief(change) for change in together],
    }
