import pytest
from tests.evaluation.prediction_rows import row
from tests.evaluation.stand_ins import write_official

from videoperceiver.evaluation.benchmarks import timeblind


def test_a_video_has_both_questions_of_its_instance(tmp_path):
    first, second, third, fourth = timeblind.load(write_official("timeblind", tmp_path)).samples
    assert [question.id for question in first.questions] == ["0", "2"]
    assert [question.answer for question in second.questions] == ["no", "yes"]
    assert first.tags == {"instance": "0"}
    assert first.questions[0].text == "Is it shaken? Please output Yes or No."
    assert (third.video, third.tags) == ("mcq_vid_00000_0.mp4", {"instance": "1"})
    [chosen, turned] = third.questions
    assert (chosen.options, chosen.answer) == (("A. It is shaken.", "B. It is still."), "A")
    assert (turned.options, turned.answer) == (("A. It is still.", "B. It is shaken."), "B")
    assert chosen.text.endswith("Option B: It is still. Please output A or B.")
    assert [question.answer for question in fourth.questions] == ["B", "A"]


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


@pytest.mark.parametrize(
    ("kind", "said", "read"),
    [
        ("yes_no", "Yes.", "yes"),
        ("yes_no", "<think>No, wait.</think><answer>yes</answer>", "no"),  # ours reads what stands in <answer>
        ("yes_no", "Maybe no. Answer: yes", "yes"),
        ("yes_no", "nothing", None),
        ("choice", "Option B", "B"),
        ("choice", "(b)", "B"),
        ("choice", "It is a dog, so B", "A"),  # the article
        ("choice", "B is my answer", "B"),
        ("choice", "the answer is B", "B"),
        ("choice", "", None),
    ],
)
def test_the_official_reader(kind, said, read):
    scores = {name: timeblind.official_score({"kind": kind, "completion": said, "reference": name}) for name in ("yes", "no", "A", "B")}
    assert [name for name, value in scores.items() if value] == ([read] if read else [])
