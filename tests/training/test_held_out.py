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


def test_figures_come_when_due_and_equal_the_evaluation(run, data, tmp_path):
    rows = run.metrics()
    assert [row["step"] for row in rows if "held_out/accuracy_full" in row] == [1, 3]
    folder = run.folder / "model"
    best = checkpoints.best(run.folder / "checkpoints", "cos_v_degraded")
    figures = next(row for row in rows if row["step"] == int(best.name[5:]) - 1)  # the model exported is the best one
    config = EvaluateConfig(manifest=str(data), output=str(tmp_path / "evaluated"), split="validation", max_new_tokens=16)
    config = replace(config, model=replace(config.model, path=str(folder), dtype="float32"))
    predictions = read_predictions(evaluate.run(config).folder / "predictions.jsonl")
    for name, condition, static in (("full", "full", False), ("degraded", "degraded", False), ("static", "full", True)):
        rows = [row for row in predictions if row["condition"] == condition and row["static"] is static]
        assert len(rows) >= 4
        assert figures[f"held_out/accuracy_{name}"] == pytest.approx(accuracy(rows)), name
    assert figures["held_out/clips"] == 4
    assert -1 <= figures["held_out/cos_v_degraded"] <= 1


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
