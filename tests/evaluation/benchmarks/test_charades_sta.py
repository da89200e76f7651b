import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.errors import ConfigError
from videoperceiver.evaluation.benchmarks import charades_sta


def load(tmp_path, text):
    (tmp_path / "charades_sta_test.txt").write_text(text)
    return charades_sta.load(tmp_path)


def test_every_line_is_a_question_and_repeated_ones_are_kept(tmp_path):
    got = load(tmp_path, "AAA 1.0 2.5##sits.\nBBB 0 1##runs.\nAAA 1.0 2.5##sits.\nbroken\nAAA 5 1##ends first.\n")
    assert [(sample.id, [question.id for question in sample.questions]) for sample in got.samples] == [("AAA", ["line-1", "line-3"]), ("BBB", ["line-2"])]
    assert got.samples[0].questions[0].answer == "1.0 - 2.5"
    assert len(got.rejects) == 2


def test_the_first_span_is_scored_by_overlap(tmp_path):
    [question] = load(tmp_path, "AAA 2 6##sits.").samples[0].questions
    assert charades_sta.read("From 4.0 to 8 seconds, or 2 to 6", question) == ("4 - 8", pytest.approx(2 / 6))
    assert charades_sta.read("I cannot tell", question) == (None, 0.0)


def test_recalls():
    rows = [row(value, family="grounding", kind="time") for value in (1.0, 0.6, 0.31)] + [row(None, extracted=None, family="grounding", kind="time")]
    table = charades_sta.BENCHMARK.table(rows)
    assert table == pytest.approx({"mIoU": 100 * 1.91 / 4, "R@1 IoU 0.3": 75.0, "R@1 IoU 0.5": 50.0, "R@1 IoU 0.7": 25.0})


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "charades_sta_test.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="damaged"):
        charades_sta.load(tmp_path)


def test_sample_rows(shared_dir):
    got = charades_sta.load(shared_dir / "samples" / "charades_sta")
    assert got.counts == {"grounding": 20}
    assert not got.rejects
