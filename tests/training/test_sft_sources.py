"""What stage 1 is fed: several manifests by weight, rows with a picture or text alone, samples that cannot be trained on."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests.training.recipe import RECIPE
from tests.training.test_sft_loss import WORDS

from videoperceiver.config import load
from videoperceiver.data import manifest
from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import ConfigError, ManifestError, RunError
from videoperceiver.stages import SftConfig
from videoperceiver.training import sft
from videoperceiver.types import Degradation, Question, Sample

ASKED = Question("q", "describe the video .", "red", "word", "colour")
TEXT = Sample("text", "", "", "train", "talk", (), questions=(ASKED,))
PICTURE = Sample("picture", "a.png", "", "train", "pictures", (0.0,), caption="red", questions=(ASKED,))


def options(model, data, output, *more):
    listed = ",".join(map(str, data))
    fields = [f"model.path={model}", f"train=[{listed}]", f"output={output}", "contrastive.tap_blocks=[2]", *RECIPE, *WORDS]
    return load(SftConfig, None, [*fields, "image_prompt=describe the video .", "steps=2", *more])


@pytest.fixture
def others(tmp_path):
    """A manifest of one picture and one row of text."""
    folder = tmp_path / "others"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    manifest.write([TEXT, PICTURE], folder / "manifest.jsonl")
    return folder / "manifest.jsonl"


def test_pictures_are_read_exactly_and_text_rows_have_an_empty_clip(others):
    store = ClipStore([others], lambda frames: frames[:, ::2])
    text, picture = (store.clip(sample) for sample in store.samples)
    assert [sample.media for sample in store.samples] == ["none", "image"]
    assert len(text) == 0
    assert np.array_equal(picture.frames[0], np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
    assert store.sizes == [2]


@pytest.mark.parametrize("num_workers", [0, 1])
def test_videos_pictures_and_texts_are_trained_on_by_weight(tiny_model, rendered, others, tmp_path, num_workers):
    more = ["train_weights=[1,3]", "batch_size=8", f"runtime.num_workers={num_workers}"]
    run = sft.run(options(tiny_model, [rendered, others], tmp_path / "run", *more))
    rows = run.metrics()
    assert [row["sft/clips"] for row in rows] == [8, 8]
    assert all(np.isfinite(row["sft/loss"]) for row in rows)
    assert not run.rejects()


def test_a_batch_of_text_alone_has_a_loss_without_contrast(tiny_model, others, tmp_path):
    run = sft.run(options(tiny_model, [others], tmp_path / "run", "batch_size=2", "model.freeze_vision=true"))
    assert [row["sft/contrastive"] for row in run.metrics()] == [0.0, 0.0]


def test_weights_that_do_not_fit_the_manifests_stop_before_the_first_step(tiny_model, rendered, tmp_path):
    with pytest.raises(ConfigError, match="one number above 0 for each"):
        sft.run(options(tiny_model, [rendered], tmp_path / "run", "train_weights=[1,2]"))


def test_empty_answers_are_rejected_with_their_sample_before_the_first_step(tiny_model, rendered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(rendered.parent, folder)
    samples = manifest.read(rendered)
    bad = replace(samples[0], questions=(replace(samples[0].questions[0], answer=""), *samples[0].questions[1:]))
    manifest.write([bad, *samples[1:]], folder / "manifest.parquet")
    run = sft.run(options(tiny_model, [folder / "manifest.parquet"], tmp_path / "run", "batch_size=9", "max_reject_rate=0.2"))
    [reject] = run.rejects()
    assert reject["sample_id"] == bad.id
    assert "has an empty answer" in reject["reason"]
    assert [row["sft/clips"] for row in run.metrics()] == [9, 9]
    with pytest.raises(RunError, match="max_reject_rate"):
        sft.run(options(tiny_model, [folder / "manifest.parquet"], tmp_path / "strict", "max_reject_rate=0"))


def test_nothing_left_to_train_on_is_named(tiny_model, tmp_path):
    manifest.write([replace(TEXT, questions=())], tmp_path / "manifest.jsonl")
    with pytest.raises(ConfigError, match="none of the 1 samples can be trained on"):
        sft.run(options(tiny_model, [tmp_path / "manifest.jsonl"], tmp_path / "run"))


@pytest.mark.parametrize("wrong", [replace(TEXT, t_s=(0.0,)), replace(PICTURE, t_s=(0.0, 1.0)), replace(PICTURE, degradation=Degradation("hold", (0,)))])
def test_rows_without_a_video_hold_nothing_of_one(wrong, tmp_path):
    with pytest.raises(ManifestError, match=r"no degradation|expected a path"):
        manifest.write([wrong], tmp_path / "manifest.jsonl")
