import json

import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.evaluation.benchmarks import video_mme

ROW = {
    "videoID": "xyz",
    "duration": "short",
    "domain": "Knowledge",
    "question_id": "001-1",
    "question": "What?",
    "options": ["A. one.", "B. two."],
    "answer": "B",
}


def test_reads_rows(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps(ROW) + "\n" + json.dumps(ROW | {"question_id": "001-2", "answer": "A"}) + "\n")
    [sample] = video_mme.load(tmp_path).samples
    assert (sample.id, sample.video, sample.tags["duration"]) == ("xyz", "xyz.mp4", "short")
    assert [question.answer for question in sample.questions] == ["B", "A"]
    assert sample.questions[0].text.endswith("correct option.\nQuestion: What?\nA. one.\nB. two.\nAnswer: ")


def test_table():
    table = video_mme.BENCHMARK.table([row(1, family="short"), row(1, family="medium"), row(0, family="long"), row(0, family="long")])
    assert table == {"Overall": 50.0, "short": 100.0, "medium": 100.0, "long": 0.0}


def test_sample_rows(shared_dir):
    [sample] = video_mme.load(shared_dir / "samples" / "video_mme").samples
    assert [question.answer for question in sample.questions] == ["C", "A"]
    assert sample.questions[0].options[1] == "B. Candles."


def test_a_folder_without_rows_says_where_they_are(tmp_path):
    with pytest.raises(Exception, match=r"test\*.parquet"):
        video_mme.load(tmp_path)
