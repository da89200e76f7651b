import json

import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.evaluation.benchmarks import video_mmmu

CHOICE = {"id": "dev_Art_Theory_3", "question": "Which?", "options": ["x", "y"], "answer": "B"}


def test_one_sample_a_video_over_the_tracks(tmp_path):
    (tmp_path / "perception_video.json").write_text(json.dumps({"Perception": {"0": CHOICE}}))
    opened = {"id": "validation_Math_1", "question": "How much?", "options": [], "answer": "12.97", "question_type": "open"}
    (tmp_path / "adaptation_video.json").write_text(json.dumps({"Adaptation": {"0": CHOICE | {"question_type": "multiple-choice"}, "1": opened}}))
    got = video_mmmu.load(tmp_path)
    first, second = got.samples
    assert first.tags == {"subject": "Art_Theory"}
    texts = {question.family: question.text for question in first.questions}
    assert texts["Perception"] == "Which?\nA. x\nB. y\nPlease ignore the Quiz question in last frame of the video."
    assert texts["Adaptation"].startswith("You should watch and learn the video content. Then apply what you learned to answer the following multi-choice")
    assert texts["Adaptation"].endswith("at the end of the video.\nWhich?\nA. x\nB. y")
    assert second.questions[0].kind == "number"
    assert "open-ended question." in second.questions[0].text


def test_table_and_knowledge_gain():
    rows = [row(1, family="Perception"), row(0, family="Comprehension"), row(1, family="Adaptation"), row(0, family="Adaptation")]
    assert video_mmmu.BENCHMARK.table(rows) == {"Overall": 50.0, "Perception": 100.0, "Comprehension": 0.0, "Adaptation": 50.0}
    alone = [row(1, family="Adaptation")] + [row(0, family="Adaptation")] * 3
    assert video_mmmu.knowledge_gain(rows, alone) == pytest.approx((50 - 25) / 75 * 100)


def test_sample_rows(shared_dir):
    got = video_mmmu.load(shared_dir / "samples" / "videommmu")
    assert got.counts == {"Perception": 8, "Comprehension": 8, "Adaptation": 8}
    assert not got.rejects
    assert {len(question.options) for sample in got.samples for question in sample.questions} == {8, 10}  # one row has eight
