"""Alignment figures: by hand, and from a model against the plain Hugging Face forward."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import BudgetError
from videoperceiver.models.backbone import Backbone
from videoperceiver.training import alignment


def at(*degrees):
    return torch.tensor([[math.cos(math.radians(d)), math.sin(math.radians(d))] for d in degrees])


def cos(degrees):
    return math.cos(math.radians(degrees))


def test_figures_by_hand():
    yes = torch.ones(3, dtype=torch.bool)
    has_degraded, has_text = torch.tensor([True, True, False]), yes
    found = alignment.alignment(at(0, 90, 60), at(40, 100, 0), at(10, 60, 85), has_degraded, has_text)
    # keywords at 10, 60, 85 degrees; videos at 0, 90, 60: nearest are 0, 60, 90, so only the first finds its own
    assert found["t2v_r1"] == pytest.approx(1 / 3)
    assert found["text_prefers_v"] == pytest.approx(1.0)  # 10 < 30, 30 < 40
    assert found["cos_v_degraded"] == pytest.approx((cos(40) + cos(10)) / 2, rel=1e-5)
    assert found["margin_degraded"] == pytest.approx((cos(10) - cos(30) + cos(30) - cos(40)) / 2, rel=1e-4)
    assert found["margin_rival"] == pytest.approx((cos(10) - cos(50) + cos(30) - cos(0) + cos(25) - cos(5)) / 3, rel=1e-4)
    assert found["clips"] == 3


def test_clips_with_the_same_keywords_are_no_rivals():
    yes = torch.ones(2, dtype=torch.bool)
    found = alignment.alignment(at(0, 90), at(0, 0), at(80, 80), yes, yes, torch.tensor([7, 7]))
    assert found["t2v_r1"] == 1.0
    assert math.isnan(found["margin_rival"])


def test_figures_without_twin_keywords_or_company_are_nan():
    no = torch.zeros(1, dtype=torch.bool)
    found = alignment.alignment(at(0), at(0), at(0), no, no)
    assert {name for name, value in found.items() if math.isnan(value)} == {"t2v_r1", "text_prefers_v", "cos_v_degraded", "margin_degraded", "margin_rival"}


@pytest.fixture(scope="module")
def backbone(tiny_model):
    return Backbone.load(tiny_model, freeze_vision=False)


@pytest.fixture(scope="module")
def pairs(backbone, rendered):
    store = ClipStore([rendered], backbone.adapter.fit)
    return [(sample, store.clip(sample)) for sample in store.samples]


@torch.no_grad()
def plain_taps(backbone, clip, block):
    """Block l of the unmodified model at <|vision_end|> of a row that holds this video alone."""
    from transformers.video_utils import VideoMetadata

    base = backbone.adapter.model
    text = backbone.prompt.opening
    fps = 1 / float(clip.t_s[1] - clip.t_s[0])
    metadata = VideoMetadata(total_num_frames=len(clip), fps=fps, frames_indices=list(range(len(clip))))
    inputs = backbone.processor(text=[text], videos=[clip.frames], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt")
    return base(**inputs, output_hidden_states=True).hidden_states[block][0, -1]


def test_measured_figures_equal_those_of_the_plain_forward(backbone, pairs):
    some = pairs[:2] + pairs[-1:]  # the last has no V'
    found = alignment.measure(backbone.train(), some, 2)
    assert backbone.training
    backbone.eval()
    h_v = torch.stack([plain_taps(backbone, clip, 2) for _, clip in some])
    twins = [replace(clip, frames=clip.frames[list(sample.degradation.source_idx)]) for sample, clip in some[:2]]
    h_degraded = torch.stack([plain_taps(backbone, clip, 2) for clip in twins])
    assert found["cos_v_degraded"] == pytest.approx(F.cosine_similarity(h_v[:2], h_degraded).mean().item(), abs=1e-5)
    base = backbone.adapter.model
    ids = [torch.from_numpy(backbone.encode_text(" ; ".join(sample.keywords) + backbone.prompt.end_of_turn).copy())[None] for sample, _ in some]
    h_text = torch.stack([base(input_ids=row, output_hidden_states=True).hidden_states[2][0, -1].detach() for row in ids])
    near, far = F.cosine_similarity(h_text[:2], h_v[:2]), F.cosine_similarity(h_text[:2], h_degraded)
    assert found["margin_degraded"] == pytest.approx((near - far).mean().item(), abs=1e-5)
    assert found["text_prefers_v"] == pytest.approx((near > far).float().mean().item())


def test_batches_do_not_change_the_figures(backbone, pairs, monkeypatch):
    whole = alignment.measure(backbone, pairs, 2)
    monkeypatch.setattr(alignment, "CLIPS_A_FORWARD", 3)
    parts = alignment.measure(backbone, pairs, 2)
    assert whole.keys() == parts.keys()
    assert all(parts[name] == pytest.approx(value, abs=1e-5) for name, value in whole.items())


def test_rows_without_a_video_are_left_out(backbone, pairs):
    sample, clip = pairs[0]
    text = (replace(sample, video="", t_s=(), degradation=None), replace(clip, frames=clip.frames[:0], t_s=clip.t_s[:0]))
    assert alignment.measure(backbone, [text], 2) == {}
    assert alignment.measure(backbone, [text, *pairs[:2]], 2) == pytest.approx(alignment.measure(backbone, pairs[:2], 2), nan_ok=True)


def test_clips_that_do_not_fit_are_refused(backbone, pairs, monkeypatch):
    monkeypatch.setattr(type(backbone), "context", property(lambda self: 8))
    with pytest.raises(BudgetError, match=pairs[0][0].id):
        alignment.measure(backbone, pairs[:1], 2)
