"""CLIP, SigLIP 2 and BLIP-2 backends on tiny random checkpoints: equal to the model's own scores, strict about what they load."""

import numpy as np
import pytest
import torch

from videoperceiver.errors import ModelError
from videoperceiver.scoring.relevance import load_relevance

BACKENDS = ("clip", "siglip2", "blip2")


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 255, (5, 40, 48, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def scorers(tiny_checkpoints):
    return {name: load_relevance(f"{name}:{tiny_checkpoints[name]}", device="cpu") for name in BACKENDS}


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_keyword_gives_the_models_own_similarity(scorers, frames, backend):
    scorer = scorers[backend]
    text = "the man kicks a ball"
    padding = {"padding": "max_length", "max_length": 64} if backend == "siglip2" else {}
    inputs = dict(scorer._processor(images=list(frames), return_tensors="pt"))
    tokens = scorer._processor.tokenizer([text], return_tensors="pt", **padding)
    inputs |= {"input_ids": tokens["input_ids"], **({} if backend == "siglip2" else {"attention_mask": tokens["attention_mask"]})}
    with torch.inference_mode():
        if backend == "blip2":  # its forward pairs each image with a text
            batch = {name: value if name == "pixel_values" else value.expand(5, -1) for name, value in inputs.items()}
            expected = scorer._model(**batch).logits_per_image[:, 0]
        else:
            output = scorer._model(**inputs)
            expected = (output.image_embeds @ output.text_embeds.T)[:, 0]
    np.testing.assert_allclose(scorer(frames, [text]), expected.numpy(), atol=2e-3)  # records are float16


@pytest.mark.parametrize("backend", BACKENDS)
def test_eq_1_means_the_keyword_vectors(scorers, frames, backend):
    scorer = scorers[backend]
    keywords = ["man kicks ball", "dog runs"]
    record = scorer.describe(frames)
    mean = scorer._text_vectors(keywords).mean(0)
    expected = (record.astype(np.float32) @ (mean / np.linalg.norm(mean))).max(1)
    np.testing.assert_allclose(scorer.relate(record, np.arange(5), keywords), expected, atol=1e-6)
    assert np.abs(scorer(frames, keywords)).max() <= 1 + 1e-3


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_and_padding_do_not_matter(scorers, frames, backend):
    scorer = scorers[backend]
    parts = np.concatenate([scorer.describe(frames[:2]), scorer.describe(frames[2:])])
    np.testing.assert_allclose(scorer.describe(frames).astype(float), parts, atol=2e-3)
    alone = scorer._text_vectors(["kick"])[0]
    np.testing.assert_allclose(scorer._text_vectors(["kick", "the man opens the red door"])[0], alone, atol=1e-5)


def test_names_and_needs(scorers, tiny_checkpoints):
    for name, scorer in scorers.items():
        assert scorer.name == f"{name}/{tiny_checkpoints[name]}"
        assert scorer.needs_keywords


def test_wrong_checkpoints_are_refused(tiny_checkpoints, tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded as AutoProcessor"):
        load_relevance("clip", model=str(tmp_path))
    with pytest.raises(ModelError, match="'siglip' checkpoint; expected one for relevance=clip"):
        load_relevance("clip", model=str(tiny_checkpoints["siglip2"]), device="cpu")


def test_pickled_weights_are_refused(tiny_checkpoints, tmp_path):
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(tiny_checkpoints["clip"], folder)
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_relevance("clip", model=str(folder))
