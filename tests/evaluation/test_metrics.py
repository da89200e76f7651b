"""Every metric on rows small enough to count by hand."""

import math

import pytest
from tests.evaluation.prediction_rows import row

from videoperceiver.evaluation import metrics


def test_unparsed_is_wrong_and_counted_and_unscored_open_answers_are_left_out():
    rows = [row(1), row(0), row(None, extracted=None), row(None, kind="open"), row(1, kind="open")]
    assert metrics.accuracy(rows) == 0.5  # 1, 0, 0 (unparsed), 1
    assert metrics.unparsed_rate(rows) == pytest.approx(1 / 3)
    assert math.isnan(metrics.accuracy([row(None, kind="open")]))
    assert math.isnan(metrics.unparsed_rate([row(1, kind="open")]))


def test_grouping_by_column_and_by_tag():
    rows = [row(1, family="b", cue="agree"), row(0, family="a", cue="conflict"), row(1, family="a")]
    assert {name: metrics.accuracy(group) for name, group in metrics.grouped(rows, "family").items()} == {"a": 0.5, "b": 1.0}
    assert {name: len(group) for name, group in metrics.grouped(rows, "tags.cue").items()} == {"agree": 1, "conflict": 1}


def test_majority_is_counted_a_family():
    rows = [row(0, reference=r) for r in "aab"] + [row(0, family="g", reference=r) for r in "xyz"] + [row(0, kind="open", reference="text")]
    assert metrics.majority_accuracy(rows) == pytest.approx((2 + 1) / 6)
    assert math.isnan(metrics.majority_accuracy([]))


def test_macro_mean_does_not_drop_categories():
    assert metrics.macro_mean([0.5, 1.0]) == 0.75
    assert math.isnan(metrics.macro_mean([0.5, math.nan]))
    assert math.isnan(metrics.macro_mean([]))


def test_strict_accuracy_wants_both_halves():
    rows = [row(1, pair="1"), row(1, pair="1"), row(1, pair="2"), row(0, pair="2"), row(1, pair="3"), row(None, extracted=None, pair="3")]
    assert metrics.strict_accuracy(rows) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="'4'"):
        metrics.strict_accuracy([*rows, row(1, pair="4")])


def test_matched_pairs_by_question_across_conditions():
    full = [row(1, question="1"), row(0, question="2"), row(1, question="3")]
    degraded = [row(0, question="2", condition="degraded"), row(0, question="1", condition="degraded")]
    assert [(a["question"], a["score"], b["score"]) for a, b in metrics.matched(full, degraded)] == [("1", 1, 0), ("2", 0, 0)]
    with pytest.raises(ValueError, match="twice"):
        metrics.matched(full + full, degraded)
    with pytest.raises(ValueError, match="share no question"):
        metrics.matched(full, [row(1, question="9")])


@pytest.mark.parametrize(
    ("prediction", "target", "expected"),
    [
        (10, 10, 1.0),
        (9.6, 10, 1.0),  # off by .04: within 1 - .95
        (9.2, 10, 0.9),  # off by .08: all but .95
        (8.3, 10, 0.7),  # off by .17: .5 to .8
        (8, 10, 0.6),  # off by .2: 1 - .8 is .19999.. in the official doubles, so .8 is missed
        (5, 10, 0.1),  # off by .5: only the first
        (4.9, 10, 0.0),
        (15, 10, 0.1),
        (None, 10, 0.0),
        (math.nan, 10, 0.0),
        (0, 0, 1.0),
        (1, 0, 0.0),
    ],
)
def test_mean_relative_accuracy(prediction, target, expected):
    assert metrics.mean_relative_accuracy(prediction, target) == pytest.approx(expected)
    assert len(metrics.MRA_THRESHOLDS) == 10


def test_delta_knowledge():
    assert metrics.delta_knowledge(60.0, 50.0) == pytest.approx(20.0)
    assert metrics.delta_knowledge(40.0, 50.0) == pytest.approx(-20.0)
    with pytest.raises(ValueError, match="100"):
        metrics.delta_knowledge(100.0, 100.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The event happens from 3.5 s to 7 seconds.", (3.5, 7.0)),
        ("24.3 - 30.4", (24.3, 30.4)),
        ("between 1 and 2, or 5 to 6", (1.0, 2.0)),
        ("at 7 seconds", None),
        ("9 to 3", None),
        (None, None),
    ],
)
def test_first_span(text, expected):
    assert metrics.first_span(text) == expected


def test_temporal_iou_and_recall():
    ious = [metrics.temporal_iou(span, (2.0, 6.0)) for span in ((4.0, 8.0), (2.0, 6.0), (7.0, 9.0), None)]
    assert ious == pytest.approx([2 / 6, 1.0, 0.0, 0.0])
    assert metrics.recall_at(ious, 0.3) == 0.5
    assert metrics.recall_at(ious, 0.5) == 0.25
    assert metrics.temporal_iou((3.0, 3.0), (3.0, 3.0)) == 1.0
    assert math.isnan(metrics.recall_at([], 0.5))


def test_hit_scores():
    # 10 is within 5 s of 12, 30 of none; reference 12 is hit, 50 is not
    assert metrics.hit_scores([10.0, 30.0], [12.0, 50.0]) == pytest.approx((0.5, 0.5, 0.5))
    assert metrics.hit_scores([10.0, 11.0, 12.0], [15.0, 40.0]) == pytest.approx((1.0, 0.5, 2 / 3))
    assert metrics.hit_scores([17.0], [12.0]) == (1.0, 1.0, 1.0)
    assert metrics.hit_scores([17.01], [12.0]) == (0.0, 0.0, 0.0)
    assert metrics.hit_scores([], [12.0]) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="reference"):
        metrics.hit_scores([1.0], [])
