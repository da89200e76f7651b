import json
import math

import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.evaluation.benchmarks import vsi_bench


def annotation(id, family, truth, options=None):
    return {"id": id, "dataset": "scannet", "scene_name": "s1", "question_type": family, "question": "How?", "ground_truth": truth, "options": options}


def test_reads_choices_and_numbers_of_one_scene(tmp_path):
    rows = [annotation(1, "object_counting", "4"), annotation(2, "route_planning", "B", ["A. left", "B. right"]), annotation(3, "route_planning", "B")]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    got = vsi_bench.load(tmp_path)
    [sample] = got.samples
    assert sample.video == "scannet/s1.mp4"
    number, choice = sample.questions
    assert number.kind == "number"
    assert number.text == "These are frames of a video.\nHow?\nPlease answer the question using a single word or phrase."
    assert "Options:\nA. left\nB. right\nAnswer with" in choice.text
    assert len(got.rejects) == 1


def rows():
    numbers = [row(0, family=name, kind="number", extracted="8.3", reference="10") for name in vsi_bench.NUMERIC]  # MRA .7
    directions = [row(score, family=name, kind="choice") for name, score in zip(vsi_bench.DIRECTIONS, (1, 1, 0), strict=True)]
    return [*numbers, *directions, row(1, family="object_rel_distance"), row(0, family="route_planning"), row(1, family="obj_appearance_order")]


def test_mean_of_eight_with_directions_averaged_first():
    table = vsi_bench.BENCHMARK.table(rows())
    assert table["object_counting"] == pytest.approx(70)
    assert table["object_rel_direction"] == pytest.approx(200 / 3)
    assert table["Avg"] == pytest.approx((4 * 70 + 100 + 200 / 3 + 0 + 100) / 8)
    assert len(table) == 9
    assert math.isnan(vsi_bench.BENCHMARK.table(rows()[1:])["Avg"])


def test_unparsed_numbers_count_zero():
    assert vsi_bench.relative_accuracy(row(None, kind="number", extracted=None, reference="4")) == 0.0


def test_the_official_parser_takes_the_first_word():
    assert vsi_bench.official("B. right") == "B"
    assert vsi_bench.official("The answer is B") == "The"


def test_sample_rows(shared_dir):
    got = vsi_bench.load(shared_dir / "samples" / "vsi_bench")
    assert got.counts == {"object_counting": 1, "object_rel_direction_hard": 1}
    assert not got.rejects
