import dataclasses

import numpy as np
import pytest

from tests.pages.hostile import HOSTILE
from videoperceiver.pages import (
    Answer,
    AnsweredQuestion,
    CurveGroup,
    DemoReport,
    Difference,
    Estimate,
    Model,
    Phase,
    Score,
    curve_panels,
    demo_page,
    demo_steps,
)
from videoperceiver.types import Span

ACCURACY = {"backbone": (0.49, 0.47), "plain fine-tuning": (0.93, 0.17), "stage 1": (0.9, 0.39), "stage 2": (0.905, 0.41)}


def report(**fields) -> DemoReport:
    models = tuple(Model(name, ours=name.startswith("stage")) for name in ACCURACY)
    scores = [
        Score(name, key, condition, Estimate(value, value - 0.03, value + 0.03, 1000))
        for name, pair in ACCURACY.items()
        for key, value in zip(("agree", "conflict"), pair, strict=True)
        for condition in ("V", "V′")
    ]
    differences = (
        Difference("stage 1 − plain fine-tuning, cue conflicts", Estimate(0.22, 0.18, 0.26, 1000), "stage 1", "plain fine-tuning", "conflict"),
        Difference("stage 2 − stage 1, cue conflicts", Estimate(0.02, -0.01, 0.05, 1000), "stage 2", "stage 1", "conflict"),
    )
    return dataclasses.replace(DemoReport(models, scores, differences, {"agree": 0.33, "conflict": 0.33}), **fields)


def steps():
    return demo_steps(
        num_train=3000, num_validation=200, num_test=200, num_real=1, num_frames=16, event_frames=(1, 3), cue_reliability=0.88,
        num_parameters=1_213_000, backbone_steps=1800, sft_steps=240, grpo_steps=90, num_generations=8,
    )  # fmt: skip


def test_the_title_is_the_finding_and_the_sentences_follow_the_intervals(check_page):
    html = demo_page(report())
    check_page(html)
    assert "Where the shortcut misleads, stage 1 answers 39\u00a0% right; plain fine-tuning, 17\u00a0%" in html
    assert "Stage 1 is 22.0 points above plain fine-tuning where the cue is wrong (95 % interval +18.0 to +26.0)." in html
    assert "Stage 2 is 2.0 points above stage 1 where the cue is wrong (95 % interval −1.0 to +5.0); no difference that this run can show." in html
    assert "the backbone had 49\u00a0% with the cue right and 47\u00a0% with it wrong" in html


def test_a_stage_that_lost_is_said_to_have_lost():
    worse = Difference("", Estimate(-0.1, -0.14, -0.06, 1000), "stage 2", "stage 1", "conflict")
    assert "Stage 2 is 10.0 points below stage 1" in demo_page(report(differences=(worse,)))


def test_missing_scores_are_not_made_up(check_page):
    html = demo_page(report(scores=[], differences=()))
    check_page(html)
    assert "its headline accuracies are missing" in html
    assert "not measured" in html


def test_the_steps_tell_this_run_s_numbers(check_page):
    html = demo_page(report(steps=steps()))
    check_page(html)
    assert "3,000 training, 200 validation and 200 test clips of 16 frames" in html
    assert "1 real clip went" in html
    assert "1.2 million parameters" in html


def test_caveats_are_always_there():
    html = demo_page(report(caveats=("One more.",)))
    assert "What this does not show" in html
    assert "Another seed trains another model" in html
    assert "One more." in html


@pytest.fixture
def full_report(make_clip) -> DemoReport:
    """Everything a demo can hold, at the sizes of a real one, with hostile text wherever text comes from outside."""
    rng = np.random.default_rng(0)
    answers = (
        AnsweredQuestion(HOSTILE, HOSTILE, (Answer("stage 1", HOSTILE * 40, True), Answer(HOSTILE, "\x1b]0;title\x07", False), Answer("stage 2", "", None))),
    )
    rendered = [make_clip(title=f"test-{k}", answers=answers) for k in range(6)]
    real = [make_clip(num_frames=40, height=360, width=640, title=HOSTILE, keywords=(HOSTILE,), spans=(Span(0, 2, HOSTILE),)) for _ in range(6)]
    series = {
        name: [{"step": i, "time_s": i * 0.2, **{f"sft/{key}": float(rng.normal()) for key in ("loss", "ce", "vv", "tv", "vt", "lr")}} for i in range(2_000)]
        for name in ("stage 1", HOSTILE)
    }
    return report(
        clips=rendered,
        real_clips=real,
        curves=[CurveGroup("Stage 1", series, curve_panels(series))],
        phases=[Phase("stage 1", 60.0), Phase(HOSTILE, 0.0)],
        steps=steps(),
        facts={"seed": "0", HOSTILE: HOSTILE},
        settings={"stage 1": {"lr": 1e-3, HOSTILE: [HOSTILE]}},
    )


def test_a_full_report_is_safe_self_contained_and_small(full_report, check_page):
    html = demo_page(full_report)
    check_page(html)
    assert len(html.encode()) < 6_000_000
    assert html.count("<figure") == 13
