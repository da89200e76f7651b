"""The tree engine against plain transformers, question first, no video, draws with their own seeds, what does not fit; answers from a file."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.video_utils import VideoMetadata

from videoperceiver.errors import BudgetError, ConfigError, SampleError
from videoperceiver.evaluation.engines import Ask, GivenAnswers, TreeEngine
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.stages import ModelConfig
from videoperceiver.types import Clip

QUESTIONS = ("Which way?", "Is it fast?", "How many?")
GREEDY = Protocol({}, 8, None, 4, "test")


@pytest.fixture(scope="module")
def engine(bench_model) -> TreeEngine:
    return TreeEngine(ModelConfig(path=str(bench_model), dtype="float32"))


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8), np.arange(8) / 4, "noise")


def ask(clip, questions=QUESTIONS, sample="s") -> Ask:
    return Ask(sample, "full", clip, tuple(map(str, range(len(questions)))), tuple(questions), tuple(range(len(questions))))


@pytest.fixture(scope="module")
def plain(bench_model):
    """Greedy answers of the unmodified model to a user message of these parts."""
    model, processor = AutoModelForImageTextToText.from_pretrained(bench_model).eval(), AutoProcessor.from_pretrained(bench_model)
    media = TreeEngine(ModelConfig(path=str(bench_model), dtype="float32")).backbone.adapter.media_ids

    def answer(parts, clip=None):
        text = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True, tokenize=False)
        video = {}
        if clip is not None:
            metadata = VideoMetadata(total_num_frames=len(clip), fps=4.0, frames_indices=list(range(len(clip))))
            video = {"videos": [clip.frames], "video_metadata": [metadata], "do_sample_frames": False}
        inputs = processor(text=[text], return_tensors="pt", **video)
        with torch.no_grad():
            out = model.generate(**inputs, max_new_tokens=4, do_sample=False, suppress_tokens=media)
        return processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    return answer


def test_a_question_before_its_video_equals_plain_generation(engine, clip, plain):
    [said] = engine.answer([ask(clip)], dataclasses.replace(GREEDY, text_first=True))
    assert said == [[plain([{"type": "text", "text": question}, {"type": "video"}], clip)] for question in QUESTIONS]


def test_a_question_after_its_video_equals_plain_generation(engine, clip, plain):
    [said] = engine.answer([ask(clip)], GREEDY)
    assert said == [[plain([{"type": "video"}, {"type": "text", "text": question}], clip)] for question in QUESTIONS]


def test_a_question_without_a_video_equals_plain_generation(engine, clip, plain):
    with_video, [*alone] = engine.answer([ask(clip), ask(None)], GREEDY)  # both kinds in one batch
    assert alone == [[plain([{"type": "text", "text": question}])] for question in QUESTIONS]
    assert with_video == engine.answer([ask(clip)], GREEDY)[0]


def test_draws_depend_on_their_seed_and_not_on_their_company(engine, clip):
    drawn = dataclasses.replace(GREEDY, temperature=1.0, num_samples=3)
    [alone] = engine.answer([ask(clip, QUESTIONS[:1])], drawn)
    together = engine.answer([ask(clip), ask(clip, QUESTIONS[:1], "t")], drawn)
    assert len(alone[0]) == 3
    assert together[0][0] == together[1][0] == alone[0]


def test_what_does_not_fit_is_told_apart_from_the_rest(bench_model, clip):
    small = TreeEngine(ModelConfig(path=str(bench_model), dtype="float32", max_tokens=40))
    longer = Clip(np.concatenate([clip.frames] * 4), np.arange(32) / 4, "long")
    for protocol in (GREEDY, dataclasses.replace(GREEDY, text_first=True)):
        large, fine = small.answer([ask(longer, sample="large"), ask(clip, QUESTIONS[:1], "fine")], protocol)
        assert isinstance(large, BudgetError)
        assert large.sample_id == "large"
        assert len(fine) == 1
    [only] = small.answer([ask(longer)], GREEDY)
    assert isinstance(only, SampleError)


def given(tmp_path, *rows):
    (tmp_path / "answers.jsonl").write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return GivenAnswers(tmp_path / "answers.jsonl", "theirs")


def test_given_answers_are_found_by_sample_question_and_condition(tmp_path):
    engine = given(
        tmp_path,
        {"sample": "s", "question": 0, "completion": "A"},
        {"sample": "s", "question": "1", "completion": None, "condition": "full"},
        {"sample": "x", "question": "9", "completion": "extra"},
    )
    [said] = engine.answer([ask(None, QUESTIONS[:2])], GREEDY)
    assert said == [["A"], [""]]  # None says nothing: unparsed, not an error
    assert engine.unused() == [("x", "9", "full")]
    [missing] = engine.answer([ask(None)], GREEDY)
    assert isinstance(missing, SampleError)
    assert "1 of its 3 questions (2)" in str(missing)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"sample": "s", "question": "0", "completion": "A"}] * 2, "line 2: question '0' of sample 's' is answered twice"),
        (["{broken"], "line 1: damaged"),
        ([{"sample": "s", "completion": "A"}], "line 1: damaged"),
        (["[1]"], "line 1: damaged"),
    ],
)
def test_damaged_or_repeated_answers_are_refused(tmp_path, rows, message):
    with pytest.raises(ConfigError, match=message):
        given(tmp_path, *rows)


def test_a_missing_file_of_answers_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"engine.answers: .*nowhere.jsonl cannot be read"):
        GivenAnswers(tmp_path / "nowhere.jsonl", "theirs")


@pytest.mark.parametrize("attention", ["dense", "segments"])
def test_every_kind_of_attention_says_the_same(bench_model, engine, clip, attention):
    other = TreeEngine(ModelConfig(path=str(bench_model), dtype="float32", attention=attention))
    first = dataclasses.replace(GREEDY, text_first=True)
    assert other.answer([ask(None), ask(clip)], GREEDY) == engine.answer([ask(None), ask(clip)], GREEDY)
    assert other.answer([ask(clip)], first) == engine.answer([ask(clip)], first)
