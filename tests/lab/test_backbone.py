"""Tiny backbones: plain folders, exact words, seeded."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from videoperceiver.errors import ModelError
from videoperceiver.lab.backbone import FAMILIES, build_tiny

WORDS = ["red", "flash", "?", "then", "3", "<0.5"]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_plain_folder_that_loads_offline(tmp_path, family):
    folder = build_tiny(tmp_path / family, WORDS, family=family)
    model, processor = AutoModelForImageTextToText.from_pretrained(folder), AutoProcessor.from_pretrained(folder)
    assert model.config.model_type == family
    assert 1e6 < sum(weight.numel() for weight in model.parameters()) < 2e6
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert len(processor.tokenizer) == model.get_input_embeddings().weight.shape[0]
    assert "assistant" in processor.apply_chat_template([{"role": "user", "content": "red"}], tokenize=False, add_generation_prompt=True)
    assert not any(path.suffix in {".bin", ".pt", ".pkl"} for path in folder.iterdir())


@pytest.mark.parametrize("family", FAMILIES)
def test_text_of_known_words_round_trips(tmp_path, family):
    tokenizer = AutoProcessor.from_pretrained(build_tiny(tmp_path, WORDS, family=family)).tokenizer
    for text in ("red flash ?", "then 3", "<0.5 red", "user"):
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    assert tokenizer("red blue")["input_ids"][1] == tokenizer.unk_token_id


def test_the_prototypes_sizes(tmp_path):
    config = AutoModelForImageTextToText.from_pretrained(build_tiny(tmp_path, WORDS)).config
    text, vision = config.text_config, config.vision_config
    assert (text.num_hidden_layers, text.hidden_size, text.num_attention_heads, text.num_key_value_heads) == (4, 128, 4, 2)
    assert text.rope_parameters["mrope_section"] == [4, 6, 6]
    assert (vision.depth, vision.hidden_size, vision.patch_size, vision.temporal_patch_size, vision.spatial_merge_size) == (2, 96, 8, 2, 2)


def test_the_seed_makes_the_weights_and_nothing_else(tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    one, same, other = (load_file(build_tiny(tmp_path / str(i), WORDS, seed=seed) / "model.safetensors") for i, seed in enumerate((0, 0, 1)))
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_refusals(tmp_path):
    with pytest.raises(ModelError, match="family 'llava', expected one of"):
        build_tiny(tmp_path, WORDS, family="llava")
    with pytest.raises(ModelError, match="words with whitespace"):
        build_tiny(tmp_path, ["two words"])
