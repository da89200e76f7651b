"""The clips and the backbone of one seed: rendered, made into manifests and warmed up by the same functions for the demo and for the lab.

A seed's folder holds `rendered/NAME`, `data/NAME/manifest.parquet` and `backbone-NAME/model`; what is there is not made again.
"""

import json
import shutil
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from videoperceiver.config import load
from videoperceiver.data import build, manifest
from videoperceiver.errors import ConfigError
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.dataset import render_dataset
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.stages import DataConfig, DemoConfig, SftConfig
from videoperceiver.training import sft

RELIABILITY = 0.88
"""Probability that a static cue is right in training (method section 6, second prototype)."""
WARM_UP = {"bright": 1.5e-3, "brief": 1e-3}
"""Difficulty of the backbone's clips -> learning rate."""

Sets = Mapping[str, Mapping[str, Any]]
"""Name -> arguments of render_dataset, and two of the lab's: `every` (keep each so many-th frame), `operator` (how V' is made)."""


def recipe(name: str) -> Path:
    """A shipped recipe: in the installed package, or in the checkout it is run from."""
    package = Path(__file__).parents[1]
    for root in (package / "recipes", package.parents[1] / "recipes"):
        if (root / name).is_file():
            return root / name
    raise ConfigError(f"the shipped recipe {name} was not found beside {package}; reinstall videoperceiver")


def rendered_sets(config: DemoConfig) -> dict[str, dict[str, Any]]:
    """Name -> arguments of render_dataset. Splits share no event; `agree` and `conflict` are the same events with other cues."""
    seed = config.seed
    independent = {"num_clips": config.backbone_clips, "split": "train", "cue": "independent"}
    shortcut = {"split": "train", "cue": "shortcut", "reliability": RELIABILITY}
    test = {"num_clips": config.test_clips, "seed": seed, "split": "test", "difficulty": "faint"}
    return {
        "bright": independent | {"seed": 4 * seed, "difficulty": "bright"},
        "brief": independent | {"seed": 4 * seed + 1, "difficulty": "brief"},
        "train": shortcut | {"num_clips": config.train_clips, "seed": 4 * seed + 2, "difficulty": "faint"},
        "grpo": shortcut | {"num_clips": config.grpo_clips, "seed": 4 * seed + 3, "difficulty": "dim"},
        "agree": test | {"cue": "agree"},
        "conflict": test | {"cue": "conflict"},
    }


def samples_path(folder: Path, name: str) -> Path:
    """Where the samples of a rendered set lie."""
    return folder / "rendered" / name / "samples.parquet"


def manifest_path(folder: Path, name: str) -> Path:
    """Where the manifest of a set lies once stage 0 has run."""
    return folder / "data" / name / "manifest.parquet"


def render_sets(folder: Path, sets: Sets, num_workers: int) -> None:
    """Renders every missing set as H.264 files, set by set, in parallel processes if more than one is allowed; a finished set has its samples.parquet."""
    missing = {name: dict(arguments) for name, arguments in sets.items() if not samples_path(folder, name).exists()}
    with stage_progress("render clips", len(missing)) as advance:
        if num_workers == 1:
            for name, arguments in missing.items():
                advance(_render(folder / "rendered" / name, arguments))
            return
        with ProcessPoolExecutor(num_workers, mp_context=get_context("spawn")) as pool:
            for done in as_completed(pool.submit(_render, folder / "rendered" / name, arguments) for name, arguments in missing.items()):
                advance(done.result())


def _render(folder: Path, arguments: dict[str, Any]) -> str:
    shutil.rmtree(folder, ignore_errors=True)  # a killed session's half
    every, _ = arguments.pop("every", 1), arguments.pop("operator", None)
    samples = [replace(sample, t_s=sample.t_s[::every]) for sample in render_dataset(folder, **arguments)]
    manifest.write(samples, folder / "samples.parquet")
    return folder.name


def build_sets(folder: Path, sets: Sets, num_workers: int) -> dict[str, Run]:
    """Stage 0 on rendered sets: their annotated events are the key frames."""
    runs = {}
    for name, arguments in sets.items():
        fields = {"source": samples_path(folder, name), "output": folder / "data" / name, "runtime.num_workers": num_workers}
        fields["operator"] = arguments.get("operator", "hold")
        runs[name] = build.run(load(DataConfig, recipe("tiny/data.yaml"), overrides(fields)))
    return runs


def warm_up(folder: Path, config: DemoConfig) -> dict[str, Run]:
    """The stand-in for a pretrained backbone: random weights, taught on clips whose cues say nothing, first bright events, then brief ones."""
    model, runs = folder / "init", {}
    if not model.exists():
        build_tiny(model, VOCABULARY, seed=config.seed)
    for i, ((name, lr), steps) in enumerate(zip(WARM_UP.items(), config.backbone_steps, strict=True)):
        fields = {"steps": steps, "seed": 2 * config.seed + i, "optim.lr": lr}
        fields |= {"model.path": model, "train": [manifest_path(folder, name)], "output": folder / f"backbone-{name}"}
        runs[f"backbone-{name}"] = done = sft.run(load(SftConfig, recipe("tiny/backbone/sft.yaml"), overrides(fields)))
        model = done.folder / "model"
    return runs | {"backbone": done}


def overrides(fields: Mapping[str, Any]) -> list[str]:
    """`key=value` with values as JSON, which YAML reads back whatever characters a path holds."""
    return [f"{name}={json.dumps(value, default=str)}" for name, value in fields.items()]
