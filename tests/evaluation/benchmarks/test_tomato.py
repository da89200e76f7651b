from tests.evaluation.stand_ins import write_official

from videoperceiver.answers import extract
from videoperceiver.evaluation.benchmarks import tomato


def test_reads_the_index_of_the_answer(tmp_path):
    got = tomato.load(write_official("tomato", tmp_path))
    first = got.samples[0]
    assert (first.id, first.video, first.tags) == ("human/k1", "human/k1.mp4", {"demonstration": "human"})
    [question] = first.questions
    assert (question.answer, question.options) == ("B", ("A. left", "B. right", "C. up"))
    assert "<options> \n{'A': 'left', 'B': 'right', 'C': 'up'} \n</options>" in question.text


def test_the_official_first_step_reads_little():
    assert [tomato.official(text) for text in ("b", "Answer is:(C)", "The answer is B", "B.")] == ["B", "C", None, None]
    assert extract("The answer is B", "choice", ("x", "y")) == "B"


def test_counts():
    assert sum(tomato.COUNTS.values()) == 1484


def test_sample_rows(shared_dir):
    got = tomato.load(shared_dir / "samples" / "tomato")
    assert got.counts == dict.fromkeys(tomato.COUNTS, 4)
    assert not got.rejects
