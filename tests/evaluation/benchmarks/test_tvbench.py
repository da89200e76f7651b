import json

from tests.evaluation.prediction_rows import row

from videoperceiver.answers import compare
from videoperceiver.evaluation.benchmarks import cut_of, tvbench
from videoperceiver.evaluation.benchmarks.base import Collector


def test_a_digit_is_an_answer_and_no_index(tmp_path):
    rows = [
        {"video": "v.mp4", "question": "How many?", "candidates": ["2", "3", "5", "4"], "answer": "4"},
        {"video": "w.mp4", "question": "How many?", "candidates": ["2", "3"], "answer": "9"},
    ]
    (tmp_path / "action_count.json").write_text(json.dumps(rows))
    (tmp_path / "action_sequence.json").write_text(
        json.dumps([{"video": "x.mp4", "question": "?", "candidates": ["a", "b"], "answer": "a", "start": 1, "end": 2.5}])
    )
    got = tvbench.load(tmp_path)
    counted, cut = got.samples
    [question] = counted.questions
    assert (counted.video, question.answer) == ("action_count/v.mp4", "D")
    assert compare("4", question.answer, "choice", question.options) == 1.0
    assert compare("3", question.answer, "choice", question.options) == 0.0
    assert (cut_of(cut).start_s, cut_of(cut).end_s) == (1.0, 2.5)
    assert len(got.rejects) == 1


def test_totals_and_tasks():
    rows = [row(1, family=task) for task in tvbench.TASKS] + [row(0, family="action_count")] * 9
    table = tvbench.BENCHMARK.table(rows)
    assert round(table["Total"], 4) == round(100 * 10 / 19, 4)
    assert round(table["Avg"], 4) == 91.0
    assert tvbench.BENCHMARK.miscounts(Collector("tvbench").annotations()) == ["TVBench: 0 questions, expected 2654"]


def test_sample_rows(shared_dir):
    got = tvbench.load(shared_dir / "samples" / "tvbench" / "json")
    assert got.samples[0].questions[0].answer == "D"
