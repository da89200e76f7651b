"""A local model through the same prompts and the same reader: garbage is rejected with reasons, an answer is used, nothing is drawn twice."""

import json

import pytest
from tests.data.annotate.conftest import clip, sample

from videoperceiver.data.annotate import load_annotator, spend
from videoperceiver.errors import ModelError, SampleError
from videoperceiver.stages import AnnotateConfig
from videoperceiver.types import Sample

ANSWER = {"caption": "Splash", "questions": [{"family": "when", "question": "When?", "answer": "1.0", "wrong_options": ["3.0"]}]}


@pytest.fixture(scope="module")
def one_word_model(tmp_path_factory):
    """Folder of a tiny Qwen2.5-VL that can say nothing but ANSWER."""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    from videoperceiver.lab.backbone import build_tiny

    word = json.dumps(ANSWER, separators=(",", ":"))
    folder = build_tiny(tmp_path_factory.mktemp("one-word") / "tiny", [word], hidden_size=64, num_layers=1, vision_hidden_size=32, vision_depth=1)
    model, tokenizer = AutoModelForImageTextToText.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    spoken = tokenizer.convert_tokens_to_ids(word)
    model.generation_config.suppress_tokens = [i for i in range(len(tokenizer)) if i != spoken]
    model.save_pretrained(folder)
    return folder


def annotator(folder, cache, **options):
    return load_annotator(AnnotateConfig(method="transformers", model=str(folder), max_answer_tokens=8, num_frames=2, frame_px=32, **options), cache)


def test_garbage_is_rejected_with_its_reason(tiny_model, tmp_path):
    made = annotator(tiny_model, tmp_path)
    first, second, nothing = made.annotate([(sample(0), clip(0)), (sample(1, caption="A ball drops."), clip(1)), (sample(2), None)])
    for number, found in enumerate((first, second)):
        assert isinstance(found, SampleError)
        assert found.sample_id == f"clip-{number}"
        assert found.reason.startswith("it could not be annotated: transformers/tiny: expected one JSON object, got '")
    assert isinstance(nothing, SampleError)
    assert "no frames" in nothing.reason
    used = spend(made)
    assert (used["failed"], used["requests"], used["answer_tokens"]) == (3, 2, 16)
    assert used["prompt_tokens"] > 100


def test_an_answer_is_read_as_the_endpoints_is(one_word_model, tmp_path):
    [made] = annotator(one_word_model, tmp_path, choice_share=0.0).annotate([(sample(), clip(t_s=(0.0, 1.0)))])
    assert isinstance(made, Sample)
    assert made.caption == "Splash"
    assert [(question.id, question.kind, question.answer) for question in made.questions] == [("when-1", "time", "1.0 seconds")]
    assert made.tags["annotator"].startswith("transformers/tiny@")


def test_a_time_it_was_not_shown_is_rejected(one_word_model, tmp_path):
    [found] = annotator(one_word_model, tmp_path).annotate([(sample(), clip(t_s=(4.0, 5.0)))])
    assert isinstance(found, SampleError)
    assert "the time 1 s lies outside the frames, which are from 4.0 to 5.0 s" in found.reason


def test_what_was_said_is_kept(one_word_model, tmp_path):
    for kept in (0, 1):
        made = annotator(one_word_model, tmp_path)
        list(made.annotate([(sample(), clip(t_s=(0.0, 1.0)))]))
        assert (spend(made)["kept"], spend(made)["requests"]) == (kept, 1)


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ModelError, match="AutoProcessor"):
        annotator(tmp_path, tmp_path)
