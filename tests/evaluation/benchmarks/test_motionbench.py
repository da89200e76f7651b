import json

import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.answers import extract
from videoperceiver.evaluation.benchmarks import motionbench


def meta(uid, answer, question="What moves?\nA. the car\nB. the man\nC. nothing", kind="Action Order", key="k"):
    qa = {"uid": uid, "start": None, "end": None, "answer": answer, "question": question}
    return {"question_type": kind, "video_type": None, "key": key, "qa": [qa], "video_path": f"{key}.mp4", "video_info": {}}


def write(tmp_path, *rows):
    (tmp_path / "video_info.meta.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return motionbench.load(tmp_path)


def test_reads_options_from_the_question_and_keeps_hidden_answers_apart(tmp_path):
    got = write(tmp_path, meta("u1", "B"), meta("u2", "NA", key="h"), meta("u3", "A", kind="Dance"), meta("u4", "B", question="Describe it..."))
    dev, hidden = got.samples
    assert dev.split == "dev"
    assert dev.video == "k.mp4"
    [question] = dev.questions
    assert question.options == ("A. the car", "B. the man", "C. nothing")
    assert (question.family, question.answer) == ("AO", "B")
    assert question.text.endswith("C. nothing\nAnswer with only the option letter (A, B, C, D, E, or F).")
    assert hidden.split == "hidden"
    assert hidden.questions[0].answer == ""
    assert len(got.rejects) == 2
    assert "'Dance'" in got.rejects[0].reason


def test_hidden_questions_are_not_missing_ones(tmp_path):
    """The released numbers are of the questions with answers; those without stand in the same file."""
    got = write(tmp_path, meta("u1", "B"), meta("u2", "NA", key="h"))
    assert got.counts == {"AO": 1}
    assert "MotionBench: 1 questions of 'AO', expected 519" in motionbench.BENCHMARK.miscounts(got)


def test_micro_average_and_column_order():
    rows = [row(1, family="MR"), row(0, family="MR"), row(1, family="RC"), row(None, family="AO", extracted=None, kind="choice")]
    table = motionbench.BENCHMARK.table(rows)
    assert list(table) == ["Avg", "MR", "LM", "CM", "MO", "AO", "RC"]
    assert (table["Avg"], table["MR"], table["AO"], table["RC"]) == (50.0, 50.0, 0.0, 100.0)


def test_the_official_parser_is_wrong_where_ours_is_not():
    for text in ("The answer is B", "Answer: B"):
        assert motionbench.official(text) in ("T", "A")
        assert extract(text, "choice", ("x", "y", "z")) == "B"
    assert motionbench.official("(B) the man") == "B"
    assert motionbench.official("") is None


def test_submission_holds_every_uid_once():
    rows = [row(1, question="u1", extracted="B"), row(None, question="u2", extracted=None)]
    assert motionbench.submission(rows) == {"u1": "B", "u2": ""}
    with pytest.raises(ValueError, match="'u1'"):
        motionbench.submission([*rows, rows[0]])


def test_sample_rows(shared_dir):
    folder = shared_dir / "samples" / "motionbench"
    got = motionbench.load(folder / "video_info.meta.SYNTHETIC.jsonl")
    assert not got.rejects
    assert all(len(question.options) == 4 for sample in got.samples for question in sample.questions)
    real = motionbench.load(folder / "video_info.meta.REALROW_truncated_question.jsonl")
    assert len(real.rejects) == 1  # its options were cut off
