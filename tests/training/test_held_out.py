"""Held-out figures against the evaluation's own, when they are due, the best checkpoint kept and exported, and slices that cannot be."""

from dataclasses import replace

import pytest
import torch
from tests.training.recipe import RECIPE
from tests.training.test_policy import WORDS

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.errors import ConfigError
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.evaluate import read_predictions
from videoperceiver.evaluation.metrics import accuracy
from videoperceiver.stages import EvaluateConfig, SftConfig
from videoperceiver.training import checkpoints, sft


@pytest.fixture(scope="module")
def data(rendered, tmp_path_factory):
    """The rendered clips, the last four held out; the last has no V'."""
    folder = rendered.parent
    samples = manifest.read(rendered)
    changed = [replace(sample, split="validation" if i >= 6 else "train") for i, sample in enumerate(samples)]
    path = folder / "with-validation.parquet"
    manifest.write(changed, path)
    return path


def config_of(model, data, output, *overrides) -> SftConfig:
    fields = [f"model.path={model}", f"train=[{data}]", f"output={output}", "contrastive.tap_blocks=[2]", *RECIPE, *WORDS, "held_out.every=2", *overrides]
    return load(SftConfig, None, fields)


@pytest.fixture(scope="module")
def run(tiny_model, data, tmp_path_factory):
    return sft.run(
        config_of(tiny_model, data, tmp_path_factory.mktemp("run") / "run", "held_out.best_by=cos_v_degraded", "keep_checkpoints=1", "steps=5", "optim.lr=1e-2")
    )


@pytest.fixture(scope="module")
def learned(tiny_model, rendered, tmp_path_factory):
    """A run that learns four clips by heart, and is measured on the same four under other names."""
    samples = [replace(sample, questions=sample.questions) for sample in manifest.read(rendered)[:4]]
    path = rendered.parent / "by-heart.parquet"
    manifest.write([*samples, *(replace(sample, id=f"{sample.id}-again", split="validation") for sample in samples)], path)
    fields = [
        "contrastive.weight=0",
        "captions=false",
        "steps=50",
        "checkpoint_every=25",
        "held_out.every=25",
        "held_out.best_by=accuracy_full",
        "batch_size=4",
    ]
    fields += ["optim.lr=3e-3", "optim.schedule=constant", "held_out.max_new_tokens=8"]
    return path, sft.run(config_of(tiny_model, path, tmp_path_factory.mktemp("learned") / "run", "instruction_share=0", *fields))


def test_figures_of_a_model_that_has_learned_equal_the_evaluation_s(learned, tmp_path):
    data, run = learned
    rows = {row["step"] + 1: row for row in run.metrics() if "held_out/accuracy_full" in row}
    assert sorted(rows) == [25, 50]
    best = checkpoints.best(run.folder / "checkpoints", "accuracy_full")
    figures = rows[int(best.name[5:])]  # the model exported is the best one
    config = EvaluateConfig(manifest=str(data), output=str(tmp_path / "evaluated"), split="validation", max_new_tokens=16)
    config = replace(config, model=replace(config.model, path=str(run.folder / "model"), dtype="float32"))
    predictions = read_predictions(evaluate.run(config).folder / "predictions.jsonl")
    for name, condition, static in (("full", "full", False), ("degraded", "degraded", False), ("static", "full", True)):
        asked = [row for row in predictions if row["condition"] == condition and row["static"] is static]
        assert len(asked) == (4 if static else 20)
        assert figures[f"held_out/accuracy_{name}"] == pytest.approx(accuracy(asked)), name
    assert figures["held_out/accuracy_full"] > 0.7, "answers of three classes and more: chance is a third at most"
    assert min(figures["held_out/accuracy_static"], figures["held_out/accuracy_degraded"]) > 0.5
    assert rows[25]["held_out/accuracy_full"] < figures["held_out/accuracy_full"], "and the figures tell the checkpoints apart"


def test_figures_come_when_due(run):
    rows = run.metrics()
    assert [row["step"] for row in rows if "held_out/accuracy_full" in row] == [1, 3]
    assert all(row["held_out/clips"] == 4 for row in rows if "held_out/clips" in row)
    assert all(-1 <= row["held_out/cos_v_degraded"] <= 1 for row in rows if "held_out/cos_v_degraded" in row)


def test_the_best_checkpoint_is_kept_and_exported(run):
    kept = sorted(path.name for path in (run.folder / "checkpoints").iterdir())
    best = checkpoints.best(run.folder / "checkpoints", "cos_v_degraded")
    assert kept == sorted({best.name, "step-00000005"})
    values = {row["step"] + 1: row["held_out/cos_v_degraded"] for row in run.metrics() if "held_out/cos_v_degraded" in row}
    assert int(best.name[5:]) == max(values, key=lambda step: (values[step], step))
    card = (run.folder / "model" / "README.md").read_text()
    assert f"step {int(best.name[5:])}" in card


def test_measuring_changes_nothing_that_is_learned(run, tiny_model, data, tmp_path):
    plain = sft.run(config_of(tiny_model, data, tmp_path / "plain", "held_out.every=0", "steps=5", "optim.lr=1e-2"))
    one, two = (checkpoints.weights(each.checkpoint_path(5)) for each in (run, plain))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (("held_out.split=train",), "held_out.split is 'train', which is what is trained on"),
        (("held_out.split=nothing",), "no sample of split 'nothing'"),
        (("held_out.best_by=accuracy",), r"held_out.best_by is 'accuracy'; expected one of accuracy_full, .*, t2v_r1"),
        (("held_out.best_by=t2v_r1", "held_out.every=0"), r"and held_out.every above 0"),
    ],
)
def test_a_slice_that_cannot_be(tiny_model, data, tmp_path, fields, message):
    with pytest.raises(ConfigError, match=message):
        sft.run(config_of(tiny_model, data, tmp_path / "run", *fields))
