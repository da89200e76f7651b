"""What the page says: hostile words stay words, control characters become visible, each state has its own look."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("gradio", reason="needs videoperceiver[web]")

from videoperceiver.inference.look import Looked
from videoperceiver.inference.moments import Moment
from videoperceiver.inference.perceiver import Answer, Description, Found, Said
from videoperceiver.inference.survey import Survey
from videoperceiver.types import Clip
from videoperceiver.web import cards
from videoperceiver.web.curve import curve

HOSTILE = "<img src=x onerror=alert(1)><script>x</script>\x1b[2J\u202e"
LOOKED = Looked(np.arange(4) / 4, 1.0, False)


def found(complete=True, number=2):
    moments = [Moment(k, k + 0.5, k + 0.25, 1 - k / 4, 1 - k / 4, None, np.zeros((9, 16, 3), np.uint8), 8) for k in range(number)]
    return Found(moments, Survey(np.arange(8) / 2, np.arange(8.0), complete))


@pytest.mark.parametrize(
    "card",
    [
        lambda: cards.header(HOSTILE, HOSTILE, 4, 64),
        lambda: cards.looking(Said(1.0, (HOSTILE,))),
        lambda: cards.answered(Answer(HOSTILE, HOSTILE, False, LOOKED), HOSTILE),
        lambda: cards.ranked(found(number=0), HOSTILE),
        lambda: cards.described([Description(0, 1, HOSTILE, 4)]),
        lambda: cards.failed(HOSTILE),
        lambda: cards.on_twin("V", HOSTILE),
        lambda: cards.reviewed(HOSTILE, "rejected", HOSTILE, HOSTILE, {HOSTILE: HOSTILE}),
        lambda: cards.dropped([dict.fromkeys(("sample_id", "part", "text", "rule", "reason"), HOSTILE)], 0, num_own=1),
    ],
)
def test_hostile_words_are_escaped_and_plain(card):
    html = card()
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "<script" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html


def test_each_state_is_told_apart():
    assert 'class="card working"' in cards.looking()
    assert "Looked over up to 0:12.5" in cards.looking(Said(12.5))
    assert 'class="card working"' in cards.ranked(found(complete=False), "x")
    assert 'class="card answer"' in cards.ranked(found(), "x")
    assert cards.ranked(found(), "x").count("<li>") == 2
    assert 'data-t="1.250"' in cards.ranked(found(), "x")
    assert 'class="card working"' in cards.described([Description(0, 1, "x", 4, complete=False)])
    assert "need a model" in cards.empty(has_model=False)
    assert "need a model" not in cards.empty(has_model=True)


@pytest.mark.parametrize(("changed", "kind"), [(True, "yes"), (False, "no"), (None, "unknown")])
def test_the_verdict_on_the_evidence(changed, kind):
    made = None if changed is None else SimpleNamespace(replaced_idx=(2,))
    clip = Clip(np.zeros((4, 2, 2, 3), np.uint8), np.arange(4) / 4, "x.mp4")
    evidence = SimpleNamespace(clip=clip, degradation=made, keyframes_idx=[2], answer="blue", changed=changed, logp=-1.0, logp_degraded=-2.0)
    html = cards.answered(Answer("what ?", "red", True, LOOKED, evidence))
    assert f'class="rests {kind}"' in html


def test_the_curve_marks_round_times_and_places_what_can_be_clicked():
    html = curve(np.arange(0, 40.5, 0.5), np.arange(81.0), [10.0, 30.0], [(29.0, 31.0)], label="Moments")
    assert [part.split("<")[0] for part in html.split('<div class="marks">')[1].split("</div>")[0].split('%">')[1:]] == ["0:10", "0:20", "0:30"]
    assert 'style="left:25.00%;top:' in html
    assert html.count('data-t="10.000"') == 2  # the dot and its button
    assert '<rect x="725.0" y="0" width="50.0"' in html
    assert 'data-first="0.000" data-last="40.000"' in html
