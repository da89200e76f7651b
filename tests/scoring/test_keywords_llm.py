"""Keywords by a local language model: a tiny one that was taught one answer."""

import pytest

from videoperceiver.errors import ConfigError, ModelError, SampleError
from videoperceiver.scoring.keywords import load_keywords
from videoperceiver.scoring.keywords_llm import phrases_of


def test_a_model_that_answers_in_json(tiny_language_model):
    extract = load_keywords("transformers", model=str(tiny_language_model), device="cpu", max_new_tokens=8)
    assert extract.name == f"transformers/{tiny_language_model}"
    assert extract(["the man kicks a ball", "the man kicks a ball"]) == [("kick",)] * 2


def test_a_model_that_does_not(tiny_language_model):
    extract = load_keywords("transformers", model=str(tiny_language_model), device="cpu", max_new_tokens=1)
    extract._model.lm_head.weight.data.zero_()  # says the padding token for ever
    with pytest.raises(SampleError, match="'the man runs'; expected a JSON object with phrases"):
        extract(["the man runs"])


def test_phrases_of():
    assert phrases_of({"phrases": ["Kick", "kick", " run  away "]}) == ("kick", "run away")
    for wrong in ({"phrases": "kick"}, {"phrases": [1]}, {"words": []}, [], None):
        with pytest.raises((ValueError, KeyError, TypeError)):
            phrases_of(wrong)


def test_a_model_is_required_and_must_exist(tmp_path):
    with pytest.raises(ConfigError, match="needs a model"):
        load_keywords("transformers")
    with pytest.raises(ModelError, match="AutoTokenizer"):
        load_keywords("transformers", model=str(tmp_path))
