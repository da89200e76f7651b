import pytest
from tests.evaluation.prediction_rows import row
from tests.evaluation.stand_ins import write_official

from videoperceiver.evaluation.benchmarks import timeblind


def test_a_video_has_both_questions_of_its_instance(tmp_path):
    first, second = timeblind.load(write_official("timeblind", tmp_path)).samples
    assert [question.id for question in first.questions] == ["0", "2"]
    assert [question.answer for question in second.questions] == ["no", "yes"]
    assert first.tags == {"instance": "0"}
    assert first.questions[0].text == "Is it shaken? Please output Yes or No."


def rows(*scores, start=0):
    return [row(score, question=str(start + i), kind="yes_no") for i, score in enumerate(scores)]


def test_strict_accuracies_by_hand():
    # instance 0: all right; instance 1: question 0 right on both videos, question 1 on the first only
    table = timeblind.BENCHMARK.table([*rows(1, 1, 1, 1), *rows(1, 1, 1, 0, start=4)])
    assert table == pytest.approx({"I-Acc": 50.0, "Q-Acc": 75.0, "V-Acc": 75.0, "Acc": 87.5})


def test_an_incomplete_instance_is_not_scored():
    table = timeblind.BENCHMARK.table([*rows(1, 1, 1, 1), *rows(0, 0, start=4)])
    assert (table["I-Acc"], table["Q-Acc"], table["Acc"]) == (100.0, pytest.approx(200 / 3), pytest.approx(400 / 6))


def test_unread_answers_fail_their_instance():
    missing = [row(None, extracted=None, question=str(i), kind="yes_no") for i in range(4)]
    assert timeblind.BENCHMARK.table(missing)["I-Acc"] == 0.0
