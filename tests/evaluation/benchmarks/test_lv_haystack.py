import json

import pytest
from tests.evaluation.prediction_rows import row
from tests.evaluation.stand_ins import write_official

from videoperceiver.evaluation.benchmarks import lv_haystack


def test_frame_indices_become_seconds_of_the_clip(tmp_path):
    [sample] = lv_haystack.load(write_official("lv-haystack", tmp_path)).samples
    search, answer = sample.questions
    assert (search.answer, search.kind) == ("1.00", "time")  # frame 4 at 4 a second
    assert (sample.tags["start_s"], sample.tags["end_s"]) == ("1.0", "3.0")
    assert (answer.answer, answer.options) == ("B", ("A. red", "B. blue"))  # the empty options are left out


def test_a_search_scores_hits_within_five_seconds():
    question = lv_haystack.Question("q", "t", "12.00, 50.00", "time", lv_haystack.SEARCH)
    assert lv_haystack.read("At 10 s and at 0:30.", question) == ("10, 30", pytest.approx(0.5))
    assert lv_haystack.read("nowhere", question) == (None, 0.0)
    rows = [row(0.5, family=lv_haystack.SEARCH, kind="time", extracted="10, 30, 11", reference="12.00, 50.00")]
    table = lv_haystack.BENCHMARK.table(rows)
    assert (table["F1"], table["Recall"], round(table["Precision"], 4)) == (50.0, 50.0, 66.6667)


def test_only_so_many_times_are_taken():
    assert lv_haystack.times_of(" ".join(map(str, range(20)))) == list(range(8))
    assert lv_haystack.times_of("1:02:03.5, 45") == [3723.5, 45.0]
    assert lv_haystack.times_of(None) == []


def test_rows_without_a_rate_or_key_frames_are_set_aside(tmp_path):
    write_official("lv-haystack", tmp_path)
    good = json.loads((tmp_path / "test.jsonl").read_text())
    bad = [good | {"frame_indexes_vclip": []}, good | {"video_metadata": {"frame_rate": 0, "vclip_interval_in_video": [0, 1]}}]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(item) + "\n" for item in bad))
    assert len(lv_haystack.load(tmp_path).rejects) == 2


def test_sample_rows(shared_dir, tmp_path):
    real = json.loads((shared_dir / "samples" / "lv_haystack" / "row.RECONSTRUCTED.json").read_text())
    (tmp_path / "test.jsonl").write_text(json.dumps(real))
    [sample] = lv_haystack.load(tmp_path).samples
    assert sample.questions[0].answer == "167.87, 174.40, 181.27"
