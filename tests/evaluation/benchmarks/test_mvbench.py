import json
import math

from tests.evaluation.prediction_rows import row

from videoperceiver.answers import extract
from videoperceiver.evaluation.benchmarks import cut_of, mvbench


def test_reads_tasks_with_cuts_and_numeric_candidates(tmp_path):
    counted = {"video": "a.mp4", "question": "How many?", "candidates": ["2", "3", "5", "4"], "answer": "2"}
    cut = {"video": "b.mp4", "question": "What?", "candidates": ["x", "y"], "answer": "y", "start": 1.5, "end": 4.0}
    wrong = {"video": "c.mp4", "question": "What?", "candidates": ["x", "y"], "answer": "z"}
    (tmp_path / "action_count.json").write_text(json.dumps([counted]))
    (tmp_path / "action_sequence.json").write_text(json.dumps([cut, wrong]))
    got = mvbench.load(tmp_path)
    count, sequence = got.samples
    assert count.video == "perception/videos/a.mp4"
    assert count.questions[0].answer == "A"  # the candidate, not the index 2
    assert count.questions[0].text == "Question:How many?\nOption:\n(A) 2\n(B) 3\n(C) 5\n(D) 4\nOnly give the best option.\n"
    assert (cut_of(sequence).start_s, cut_of(sequence).end_s) == (1.5, 4.0)
    assert len(got.rejects) == 1
    assert "'z'" in got.rejects[0].reason


def test_two_cuts_of_one_video_are_two_samples(tmp_path):
    rows = [{"video": "b.mp4", "question": "What?", "candidates": ["x", "y"], "answer": "y", "start": s, "end": s + 1} for s in (1, 5)]
    (tmp_path / "action_sequence.json").write_text(json.dumps(rows))
    assert len(mvbench.load(tmp_path).samples) == 2


def test_twenty_equal_tasks():
    rows = [row(1, family=task) for task in mvbench.FOLDERS] + [row(0, family="action_count")] * 3
    table = mvbench.BENCHMARK.table(rows)
    assert len(mvbench.FOLDERS) == 20
    assert table["Avg"] == (19 * 100 + 25) / 20
    assert math.isnan(mvbench.BENCHMARK.table(rows[1:20])["Avg"])  # a task is missing


def test_the_official_parser_reads_an_article_as_a():
    assert mvbench.official("A man opens the door") == "A"
    assert extract("A man opens the door", "choice", ("x", "y")) is None
    assert mvbench.official("B. y") == "B"


def test_sample_rows(shared_dir):
    got = mvbench.load(shared_dir / "samples" / "mvbench")
    assert got.samples[0].questions[0].answer == "A"
    assert got.counts == {"action_sequence": 1}
