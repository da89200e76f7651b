"""One arm with one seed: its stage as an ordinary run, its answers on every test, and the row that is kept of both.

Deterministic on one thread: the same code, recipe and seed give the same weights and the same answers, bit for bit.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from videoperceiver.config import load
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.evaluate import read_predictions
from videoperceiver.lab import rows, worlds
from videoperceiver.lab.rows import Row
from videoperceiver.lab.study import BACKBONE, StudyConfig
from videoperceiver.runs import Run
from videoperceiver.stages import EvaluateConfig, GrpoConfig, SftConfig
from videoperceiver.training import grpo, sft

STAGES: dict[str, tuple[type, Callable[[Any], Run]]] = {"sft": (SftConfig, sft.run), "grpo": (GrpoConfig, grpo.run)}
TRAINED, ROW = "trained.json", "row.json"
LAST = ("loss", "ce", "contrastive", "vv", "tv", "vt", "t2v_r1", "text_prefers_v", "cos_v_degraded", "uniform", "joint", "q", "q_degraded", "refeed_rate")
"""Scalars of the last step that a row keeps: what was learned, nothing about the machine."""


@dataclass(frozen=True)
class Unit:
    """An arm with a seed, or a seed's clips and backbone where `arm` is "backbone"."""

    arm: str
    seed: int


@dataclass(frozen=True)
class ArmRun:
    """What makes one arm's training what it is: saved in its folder, so that another recipe's rows are never taken for its own."""

    name: str = ""
    seed: int = 0
    stage: str = ""
    recipe: str = ""
    data: str = ""
    start_weights: str = ""
    set: dict[str, Any] = field(default_factory=dict)


def seed_folder(config: StudyConfig, seed: int) -> Path:
    """Where a seed's clips and backbone lie."""
    return Path(config.backbones) / f"seed{seed}"


def arm_folder(config: StudyConfig, unit: Unit) -> Path:
    """Where an arm's run and row lie."""
    return Path(config.output) / unit.arm / f"seed{unit.seed}"


def model_folder(config: StudyConfig, unit: Unit) -> Path:
    """The model that a unit ends with."""
    if unit.arm == BACKBONE:
        return seed_folder(config, unit.seed) / f"{BACKBONE}-{list(worlds.WARM_UP)[-1]}" / "model"
    return arm_folder(config, unit) / "train" / "model"


def clip_cache(config: StudyConfig, seed: int) -> Path:
    """Decoded clips, which every arm of a seed sees; may be deleted at any time."""
    return seed_folder(config, seed) / "clip-cache"


def data_path(config: StudyConfig, unit: Unit) -> Path:
    """The manifest that an arm trains on."""
    return worlds.manifest_path(seed_folder(config, unit.seed), config.arms[unit.arm].data)


def prepare(config: StudyConfig, unit: Unit) -> None:
    """Makes what is missing of the clips a unit needs, and, where it is the seed's backbone, that; one process at a time."""
    folder, sets = seed_folder(config, unit.seed), config.set_arguments(unit.seed)
    names = [*worlds.rendered_sets(config.demo), *config.tests] if unit.arm == BACKBONE else [*config.tests, config.arms[unit.arm].data]
    with _alone(folder):
        missing = {name: sets[name] for name in names if not worlds.manifest_path(folder, name).exists()}
        if missing:
            worlds.render_sets(folder, missing, 1)
            worlds.build_sets(folder, missing, 1)
        if unit.arm == BACKBONE and not model_folder(config, unit).exists():
            worlds.warm_up(folder, replace(config.demo, seed=unit.seed))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Waits until no other process makes clips of this seed: two arms may want the same set at once."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".preparing").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def missing_tests(config: StudyConfig, unit: Unit) -> list[str]:
    """The "test/condition" names that a unit's row lacks; all of them where there is no row."""
    path = arm_folder(config, unit) / ROW
    found = json.loads(path.read_text(encoding="utf-8"))["tests"] if path.exists() else {}
    return [f"{test}/{condition}" for test, conditions in config.tests.items() for condition in conditions if f"{test}/{condition}" not in found]


def read_row(config: StudyConfig, unit: Unit) -> Row | None:
    """The row of a unit, None where it is not finished."""
    path = arm_folder(config, unit) / ROW
    return rows.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def run_unit(config: StudyConfig, unit: Unit) -> None:
    """Trains what is not trained, answers what is not answered, writes the row."""
    began = _cpu_s()
    prepare(config, unit)
    prepared_s = _cpu_s() - began
    folder = arm_folder(config, unit)
    run = Run.open_or_create(folder, _identity(config, unit), stage="lab")
    trained = folder / TRAINED
    if not trained.exists():
        run.write_json(TRAINED, {"prepare_s": prepared_s, **({} if unit.arm == BACKBONE else train(config, unit))})
    began = _cpu_s()
    before = read_row(config, unit)
    questions, static = (before.questions, before.static) if before else ((), ())
    tests = dict(before.tests) if before else {}
    for test in dict.fromkeys(name.split("/")[0] for name in missing_tests(config, unit)):
        questions, static, answers = _answer(config, unit, test)
        tests |= answers
    facts = json.loads(trained.read_text(encoding="utf-8"))
    answered_s = _cpu_s() - began + (before.cpu_s["evaluate"] if before else 0.0)
    cpu_s = {"prepare": facts.get("prepare_s", 0.0), "train": facts.get("cpu_s", 0.0), "evaluate": answered_s}
    trainer = model_folder(config, unit).parent / "metadata.json"  # of the run that trained, not of an earlier start that was killed
    metadata = json.loads(trainer.read_text(encoding="utf-8"))
    weights = {"start": facts.get("start_weights", ""), "end": weights_hash(model_folder(config, unit))}
    row = Row(unit.arm, unit.seed, metadata["git"], facts.get("steps", 0), _rounded(cpu_s), weights, questions, static, tests, facts.get("last", {}))
    run.write_json(ROW, rows.to_json(row))
    run.finish()


def _identity(config: StudyConfig, unit: Unit) -> ArmRun:
    if unit.arm == BACKBONE:
        return ArmRun(BACKBONE, unit.seed)
    arm = config.arms[unit.arm]
    start = weights_hash(model_folder(config, Unit(arm.start, unit.seed)))
    return ArmRun(unit.arm, unit.seed, arm.stage, arm.recipe, arm.data, start, dict(arm.set))


def train(config: StudyConfig, unit: Unit) -> dict[str, Any]:
    """Runs the arm's stage from its beginning: processor seconds of half a run would be no cost."""
    arm, folder = config.arms[unit.arm], arm_folder(config, unit) / "train"
    shutil.rmtree(folder, ignore_errors=True)
    cls, stage = STAGES[arm.stage]
    start = model_folder(config, Unit(arm.start, unit.seed))
    kept = {"runtime.clip_cache": clip_cache(config, unit.seed)}
    fields = {"model.path": start, "train": [data_path(config, unit)], "output": folder, "seed": unit.seed, **kept, **arm.set}
    began = _cpu_s()
    done = stage(load(cls, worlds.recipe(arm.recipe), worlds.overrides(fields)))
    cpu_s = _cpu_s() - began
    metrics = done.metrics()
    last = {name: round(value, 6) for name, value in metrics[-1].items() if name.partition("/")[2] in LAST and value is not None}
    return {"cpu_s": cpu_s, "steps": len(metrics), "start_weights": weights_hash(start), "last": last}


def _answer(config: StudyConfig, unit: Unit, test: str) -> tuple[tuple[str, ...], tuple[bool, ...], dict[str, rows.Answers]]:
    """The answers on one test; the predictions themselves are not kept."""
    folder = arm_folder(config, unit) / "evaluation" / test
    shutil.rmtree(folder, ignore_errors=True)
    manifest = worlds.manifest_path(seed_folder(config, unit.seed), test)
    conditions = config.tests[test]
    kept = {"clip_cache": clip_cache(config, unit.seed)}
    fields = {"model.path": model_folder(config, unit), "manifest": manifest, "output": folder, "conditions": conditions, "split": "", **kept}
    evaluate.run(load(EvaluateConfig, worlds.recipe("tiny/evaluate.yaml"), worlds.overrides(fields)))
    predictions = read_predictions(folder / "predictions.jsonl")
    shutil.rmtree(folder.parent)
    found = {condition: rows.answers_of([row for row in predictions if row["condition"] == condition]) for condition in conditions}
    questions, static, _ = found[conditions[0]]
    return questions, static, {f"{test}/{condition}": answers for condition, (_, _, answers) in found.items()}


def weights_hash(model: Path) -> str:
    """sha256 of a model folder's weights."""
    digest = hashlib.sha256()
    for file in sorted(model.glob("*.safetensors")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _rounded(cpu_s: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 1) for name, value in cpu_s.items()}


def _cpu_s() -> float:
    """Processor seconds of this process and of those it has ended, its decoders among them."""
    return sum(os.times()[:4])
