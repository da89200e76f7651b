"""The README.md of an exported model: what it is, what it was made from, how to load it."""

import json
from pathlib import Path
from typing import Any

from videoperceiver.runs import Run
from videoperceiver.stages import ExportConfig, ModelConfig

_STAGES = {"sft": "supervised fine-tuning with the intermediate-layer contrastive loss (stage 1)", "grpo": "Comparative GRPO (stage 2)"}

_WHOLE = """from transformers import AutoModelForImageTextToText, AutoProcessor
model = AutoModelForImageTextToText.from_pretrained("PATH")
processor = AutoProcessor.from_pretrained("PATH")"""

_ADAPTER = """from peft import AutoPeftModel
model = AutoPeftModel.from_pretrained("PATH")  # fetches the base model
from transformers import AutoProcessor; processor = AutoProcessor.from_pretrained("PATH")"""


def model_card(run: Run, model: ModelConfig, settings: ExportConfig, *, source: Path | None) -> str:
    """Markdown with the front matter that the hub reads.

    Args:
        run: recipe, data hashes, versions, figures.
        model: what was trained.
        settings: how it is written.
        source: the checkpoint it is of, None for the end of the run.
    """
    metadata = json.loads((run.folder / "metadata.json").read_text(encoding="utf-8"))
    adapter = settings.adapter and model.lora_rank > 0
    kind = "LoRA adapter of " if adapter else ""
    base = Path(model.path).name if Path(model.path).is_dir() else model.path
    parts = [
        _front_matter(base, adapter, is_local=Path(model.path).is_dir()),
        f"# {run.folder.name}\n\n{kind}{base}, after {_STAGES.get(run.stage, run.stage)} with VideoPerceiver.",
        "Weights: " + ("the moving average" if settings.ema else "as trained") + f", {'step ' + str(int(source.name[5:])) if source else 'end of the run'}.",
        f"## Loading\n\n```python\n{_ADAPTER if adapter else _WHOLE}\n```",
        f"## Figures\n\n{_figures(run)}",
        "## Data\n\n" + "\n".join(f"- `{Path(path).name}`, sha256 `{digest}`" for path, digest in metadata["data"].items()),
        f"## Licence\n\nDerived from {base}: its licence applies to these weights, and the licences of the training data may restrict them further. "
        "Check both before you share the model.",
        "## Made with\n\n" + ", ".join(f"{name} {version}" for name, version in metadata["versions"].items()) + f"; commit {metadata['git'] or 'unknown'}.",
        f"## Recipe\n\n```yaml\n{(run.folder / 'config.yaml').read_text(encoding='utf-8').rstrip()}\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _front_matter(base: str, adapter: bool, *, is_local: bool) -> str:
    lines = ["pipeline_tag: video-text-to-text", "tags: [video, videoperceiver]", f"library_name: {'peft' if adapter else 'transformers'}"]
    lines += [] if is_local else [f"base_model: {base}"]
    return "\n".join(["---", *lines, "---"])


def _figures(run: Run) -> str:
    """Last value of each loss and each held-out figure."""
    last: dict[str, Any] = {}
    for row in run.metrics():
        last |= {name: (value, row["step"]) for name, value in row.items() if name == f"{run.stage}/loss" or name.startswith("held_out/")}
    rows = [f"| {name} | {'not measured' if value is None else f'{value:.4g}'} | {step + 1} |" for name, (value, step) in sorted(last.items())]
    return "\n".join(["| figure | last value | after step |", "|---|---|---|", *rows]) if rows else "None were logged."
