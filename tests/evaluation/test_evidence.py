"""V' at evaluation time: from each question's own words and never its answer, shared where it is the same, absent and counted where there is none."""

import json

import numpy as np
import pytest
from tests.evaluation.test_benchmark_runs import config_of

from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.engines import Ask
from videoperceiver.evaluation.evidence import Evidence
from videoperceiver.evaluation.material import View
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.scoring.scorer import RelevanceScorer
from videoperceiver.stages import EvidenceConfig
from videoperceiver.types import Clip, Question, Sample

PROTOCOL = Protocol({"text": "Watch the video closely. {question}\n{options}"}, 8, None, 16, "test")
CLIP = Clip(np.random.default_rng(0).integers(0, 256, (16, 16, 16, 3), dtype=np.uint8), np.arange(16) / 4, "noise")


class Places(RelevanceScorer):
    """A word says where it is: "at3" is at frame 3."""

    name, needs_keywords = "places", True

    def __init__(self):
        self.asked = []

    def describe(self, frames):
        return np.arange(len(frames))

    def relate(self, description, t_s, keywords):
        self.asked.append(keywords)
        places = [int(word[2:]) for keyword in keywords for word in keyword.split() if word.startswith("at")]
        return np.isin(description, places).astype(np.float32)


def question(name, text, *options, answer="A") -> Question:
    return Question(name, f"Watch the video closely. {text}\n" + "\n".join(options), answer, "choice", "f", options)


@pytest.fixture
def evidence():
    made = Evidence(EvidenceConfig(keywords="question", relevance="motion"), PROTOCOL, seed=0)
    made.scorer = Places()
    return made


def replaced(made):
    return None if made is None else made.replaced_idx


def test_each_question_gets_the_v_prime_of_its_own_words(evidence):
    sample = Sample("s", "s.mp4", "", "test", "b", (), questions=(question("1", "at5"), question("2", "what?", "A. at9", "B. x"), question("3", "at5")))
    found = evidence.degradations(sample, CLIP)
    assert {name: replaced(made) for name, made in found.items()} == {"1": (5,), "2": (9,), "3": (5,)}
    assert len(evidence.scorer.asked) == 2  # two questions of the same words are looked for once


def test_the_prompt_and_the_answer_are_not_looked_for(evidence):
    sample = Sample("s", "s.mp4", "", "test", "b", (), questions=(question("1", "at5", "A. at6", "B. at7", answer="at12"),))
    evidence.degradations(sample, CLIP)
    words = " ".join(evidence.scorer.asked[0])
    assert {"at5", "at6", "at7"} <= set(words.replace(".", " ").split())
    assert "at12" not in words
    assert "closely" not in words


def test_a_question_that_names_nothing_has_no_v_prime(evidence):
    evidence._extract = lambda texts: [() for _ in texts]
    sample = Sample("s", "s.mp4", "", "test", "b", (), questions=(question("1", "at5"),))
    assert evidence.degradations(sample, CLIP) == {"1": None}


def test_questions_that_share_a_v_prime_are_asked_together(evidence):
    questions = (question("1", "at5"), question("2", "at9"), question("3", "at5"), question("4", "nowhere"))
    sample = Sample("s", "s.mp4", "", "test", "b", (), questions=questions)
    view = View(sample, CLIP, evidence.degradations(sample, CLIP))
    asks: list[Ask] = evaluate.asked(view, "degraded", PROTOCOL, 0)
    assert [ask.ids for ask in asks] == [("1", "3"), ("2",)]
    assert (asks[0].clip.frames[5] == CLIP.frames[4]).all()
    assert [ask.ids for ask in evaluate.asked(view, "full", PROTOCOL, 0)] == [("1", "2", "3", "4")]


def test_the_real_default_runs_and_counts_questions_without_v_prime(stand_ins, bench_model, tmp_path):
    pytest.importorskip("spacy")
    config = config_of(
        "charades-sta", stand_ins, bench_model, tmp_path / "run", "conditions=[full,degraded]", "evidence.keywords=spacy", "evidence.relevance=proxy"
    )
    run = evaluate.run(config)
    result = json.loads((run.folder / "result.json").read_text())
    clips = [json.loads(line) for line in (run.folder / "clips.jsonl").read_text().splitlines()]
    without = sum(made is None for clip in clips for made in clip["degraded"].values())
    assert result["frames"]["questions_without_degraded"] == without
    assert result["accuracy"]["degraded"]["all"]["num"] == 3 - without
    assert "keyframe_questions.json" in {path.name for path in run.folder.iterdir()}
