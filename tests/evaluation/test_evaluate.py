"""The evaluation stage: what each condition shows, one row a question, resume, bad clips, greedy answers equal to plain generation."""

import json
import shutil

import numpy as np
import pytest

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import ConfigError, RunError
from videoperceiver.evaluation import evaluate
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import generate
from videoperceiver.stages import EvaluateConfig
from videoperceiver.types import Clip


def config_of(model, data, output, *overrides) -> EvaluateConfig:
    fields = [
        f"model.path={model}",
        f"manifest={data}",
        f"output={output}",
        "model.dtype=float32",
        "split=train",
        "max_new_tokens=2",
        "batch_size=4",
        *overrides,
    ]
    return load(EvaluateConfig, None, fields)


def rows_of(run) -> list[dict]:
    return evaluate.read_predictions(run.folder / "predictions.jsonl")


@pytest.fixture(scope="module")
def finished(tiny_model, rendered, tmp_path_factory):
    return evaluate.run(config_of(tiny_model, rendered, tmp_path_factory.mktemp("runs") / "run"))


def test_every_question_is_asked_on_v_and_on_v_prime_where_there_is_one(finished, rendered):
    samples = manifest.read(rendered)
    asked = {(row["sample"], row["question"], row["condition"]) for row in rows_of(finished)}
    assert asked == {
        (s.id, q.id, condition) for s in samples for q in s.questions for condition in ("full", "degraded") if condition == "full" or s.degradation is not None
    }
    assert len(asked) == len(rows_of(finished))


def test_kept_clips_change_no_row_and_are_not_decoded_again(finished, tiny_model, rendered, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(rendered.parent, data)
    kept = f"clip_cache={tmp_path / 'clips'}"
    first = evaluate.run(config_of(tiny_model, data / rendered.name, tmp_path / "first", kept))
    for sample in manifest.read(rendered):
        (data / sample.video).unlink(missing_ok=True)
    again = evaluate.run(config_of(tiny_model, data / rendered.name, tmp_path / "again", kept))
    assert rows_of(again) == rows_of(first) == rows_of(finished)


def test_rows_carry_what_tables_need(finished, rendered):
    sample = manifest.read(rendered)[0]
    row = next(row for row in rows_of(finished) if row["sample"] == sample.id)
    assert row["num_frames"] == 16
    assert row["tags"] == dict(sample.tags)
    assert {row["static"] for row in rows_of(finished)} == {True, False}
    result = json.loads((finished.folder / "result.json").read_text())
    assert result["accuracy"]["full"]["all"]["num"] == sum(len(s.questions) for s in manifest.read(rendered))


def test_answers_equal_plain_greedy_generation(finished, tiny_model, rendered):
    """Batched trees of several questions and versions of a clip say what one question on one version of it says alone."""
    backbone, store = Backbone.load(tiny_model), ClipStore([rendered], lambda frames: frames)
    sample = store.samples[1]
    said = {(row["question"], row["condition"]): row["completion"] for row in rows_of(finished) if row["sample"] == sample.id}
    clip = store.clip(sample)
    for condition, frames in (("full", clip.frames), ("degraded", clip.frames[list(sample.degradation.source_idx)])):
        for question in sample.questions:
            builder = TreeBuilder(backbone, Clip(frames, clip.t_s, "plain"))
            leaf = builder.question(builder.video(), question.text)
            [[[alone]]] = generate(backbone, [builder.tree()], [[leaf]], num_generations=1, max_new_tokens=2, temperature=0.0, seed=0)
            assert said[question.id, condition] == alone.text


def test_controls_show_other_frames(rendered):
    store = ClipStore([rendered], lambda frames: frames)
    sample = store.samples[0]
    clip = store.clip(sample)
    shuffled, blank = (evaluate.shown(clip, condition, None, seed=0) for condition in ("shuffled", "blank"))
    assert not np.array_equal(shuffled.frames, clip.frames)
    assert sorted(f.tobytes() for f in shuffled.frames) == sorted(f.tobytes() for f in clip.frames)
    assert len(np.unique(blank.frames)) == 1
    assert evaluate.shown(clip, "text", None, seed=0) is None


def test_an_interrupted_evaluation_goes_on(tiny_model, rendered, tmp_path, finished, monkeypatch):
    config = config_of(tiny_model, rendered, tmp_path / "cut")
    predict, calls = evaluate.predict, []

    def stop_second(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return predict(*arguments)

    monkeypatch.setattr(evaluate, "predict", stop_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(config)
    monkeypatch.setattr(evaluate, "predict", predict)
    assert rows_of(evaluate.run(config)) == rows_of(finished)


def test_an_unreadable_clip_is_listed_and_never_scored(tiny_model, rendered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(rendered.parent, folder)
    bad = manifest.read(folder / "manifest.parquet")[2]
    (folder / bad.video).unlink()
    run = evaluate.run(config_of(tiny_model, folder / "manifest.parquet", tmp_path / "run", "max_reject_rate=0.2"))
    assert bad.id not in {row["sample"] for row in rows_of(run)}
    assert len(run.rejects()) == 1
    with pytest.raises(RunError, match="max_reject_rate"):
        evaluate.run(config_of(tiny_model, folder / "manifest.parquet", tmp_path / "strict", "max_reject_rate=0"))


def test_an_empty_split_says_what_to_do(tiny_model, rendered, tmp_path):
    with pytest.raises(ConfigError, match=r"no sample of split 'test'.*data build"):
        evaluate.run(config_of(tiny_model, rendered, tmp_path / "run", "split=test"))
