import re

import numpy as np

from videoperceiver.pages import CurveGroup, CurvePanel, curve_panels, curves


def rows(values, key="sft/loss"):
    return [{"step": i + 1, "time_s": i / 2, key: value} for i, value in enumerate(values)]


def test_short_series_are_drawn_as_they_are_and_long_ones_with_a_mean():
    short = str(curves(CurveGroup("s", {"a": rows([3.0, 2.0, 1.0])}, [CurvePanel("sft/loss", "loss")])))
    long = str(curves(CurveGroup("s", {"a": rows(np.random.default_rng(0).random(200).tolist())}, [CurvePanel("sft/loss", "loss")])))
    assert short.count("<polyline") == 1
    assert "moving means" not in short
    assert long.count("<polyline") == 2
    assert "moving means" in long


def test_schedules_are_never_smoothed():
    panels = curve_panels({"a": rows([1e-3] * 100, "sft/lr")})
    assert [(panel.title, panel.noisy) for panel in panels] == [("learning rate", False)]
    assert str(curves(CurveGroup("s", {"a": rows([1e-3] * 100, "sft/lr")}, panels))).count("<polyline") == 1


def test_the_last_value_stands_in_the_title_and_gaps_stay_gaps():
    html = str(curves(CurveGroup("s", {"a": rows([1.0, None, 0.5, 0.25])}, [CurvePanel("sft/loss", "loss")])))
    assert ">0.25<" in html
    assert len(re.search(r'points="([^"]+)"', html)[1].split()) == 3


def test_a_scalar_that_nobody_logged_is_named_not_drawn():
    html = str(curves(CurveGroup("s", {"a": rows([1.0, 2.0])}, [CurvePanel("sft/loss", "loss"), CurvePanel("sft/kl", "KL")])))
    assert "Not logged in this run: KL." in html
    assert html.count('class="panel"') == 1


def test_panels_come_in_a_fixed_order_with_words_and_blocks():
    series = {"a": [{"step": 1, "time_s": 0.0, "sft/zeta_new": 1.0, "sft/loss": 1.0}], "b": [{"step": 1, "time_s": 0.0, "sft/tv_b16": 1.0, "sft/t2v_r1": 0.5}]}
    assert [(panel.key, panel.title, panel.percent) for panel in curve_panels(series)] == [
        ("sft/loss", "loss", False),
        ("sft/tv_b16", "keywords to video (eq. 5), block 16", False),
        ("sft/t2v_r1", "keywords find their video", True),
        ("sft/zeta_new", "zeta new", False),
    ]
    assert [panel.key for panel in curve_panels(series, only=("loss", "kl"))] == ["sft/loss", "sft/kl"]
