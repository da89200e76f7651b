"""Equations (4)-(7) against numbers worked out by hand on unit vectors, and against what must and must not get a gradient."""

import math

import pytest
import torch

from videoperceiver.losses.contrastive import (
    Negatives,
    alignment_metrics,
    contrastive_losses,
    keyword_ids,
    same_ids,
    text_video_loss,
    video_text_loss,
    video_video_loss,
)

E1, E2, E3 = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
YES, NO = True, False


def rows(*values):
    return torch.tensor(values, dtype=torch.float32)


def flags(*values):
    return torch.tensor(values, dtype=torch.bool)


def test_video_video_by_hand():
    # cosines at tau 0.5: V1.view1 = 1 -> logit 2, V1.view2 = 0 -> 0, V1.V'1 = 0.6 -> 1.2; row 2: 2, 0 and no V'
    h_v = rows(E1, E2)
    h_degraded = rows([0.6, 0.8, 0.0], E1)
    loss = video_video_loss(h_v, h_v.clone(), h_degraded, flags(YES, NO), tau=0.5)
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(0) + math.exp(1.2)))
    second = -math.log(math.exp(2) / (math.exp(2) + math.exp(0)))
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)
    assert first == pytest.approx(0.4604, abs=1e-4)
    assert second == pytest.approx(0.1269, abs=1e-4)


def test_text_video_sums_over_every_degraded_video():
    # tau 1: T1 = V1 = e1, T2 = V2 = e2; V'1 = e1 (copies V1), V'2 = e3
    h = rows(E1, E2)
    loss = text_video_loss(h, h, rows(E1, E3), flags(YES, YES), flags(YES, YES), tau=1.0)
    e = math.e
    first = -math.log(e / (e + 1 + e + 1))  # V1, V2, V'1, V'2
    second = -math.log(e / (e + 1 + 1 + 1))
    assert loss.item() == pytest.approx((first + second) / 2, rel=1e-6)


def test_text_video_without_degraded_is_the_plain_info_nce():
    torch.manual_seed(0)
    text, video = torch.randn(4, 8), torch.randn(4, 8)
    have_none = torch.zeros(4, dtype=torch.bool)
    loss = text_video_loss(text, video, torch.randn(4, 8), ~have_none, have_none, tau=0.2)
    logits = torch.nn.functional.normalize(text) @ torch.nn.functional.normalize(video).T / 0.2
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits, torch.arange(4)))


def test_video_text_by_hand_and_leaves_rows_without_keywords_out():
    h_v, h_text = rows(E1, E2, E3), rows(E1, E2, E1)
    loss = video_text_loss(h_v, h_text, flags(YES, YES, NO), tau=1.0)
    # row 1: positive 1, negative T2 0; row 2: positive 1, negative T1 0; T3 (no keywords) neither anchor nor negative
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1)), rel=1e-6)


def test_same_keywords_are_not_each_others_negatives():
    h_v, h_text = rows(E1, E2, E3), rows(E1, E1, E3)
    ids = keyword_ids([["pop"], ["Pop "], ["flash", "bang"]])
    have = flags(YES, YES, YES)
    literal = video_text_loss(h_v, h_text, have, tau=1.0)
    masked = video_text_loss(h_v, h_text, have, tau=1.0, same=same_ids(ids, ids))
    e = math.e
    assert literal.item() == pytest.approx((math.log((2 * e + 1) / e) + math.log(3) + math.log((e + 2) / e)) / 3, rel=1e-6)
    # rows 1 and 2 share T1: row 1 keeps {e, 1 of T3}, row 2 keeps {1, 1 of T3}, row 3 keeps all
    assert masked.item() == pytest.approx((math.log((e + 1) / e) + math.log(2) + math.log((e + 2) / e)) / 3, rel=1e-6)


def test_same_keywords_do_not_spare_the_degraded_video():
    h = rows(E1, E1)
    same = flags(YES, YES).expand(2, 2)
    loss = text_video_loss(h, h, rows(E1, E1), flags(YES, YES), flags(YES, YES), tau=1.0, same=same)
    assert loss.item() == pytest.approx(math.log(3), rel=1e-6)  # own V, V'1 and V'2; the other V is spared


def test_keyword_ids_ignore_order_and_case_and_separate_phrases():
    ids = keyword_ids([["open door", "wave"], ["Wave", "open door"], ["open", "door wave"], [], [" "]])
    assert ids[0] == ids[1]
    assert ids[0] != ids[2]
    assert ids[3] == ids[4] == -1
    assert not same_ids(ids, ids)[3, 4]
    assert keyword_ids([["flash"]]).item() == 4796089368262566377  # the same in every process, unlike hash()


def test_extra_negatives_count_and_are_spared_by_keywords():
    h = rows(E1, E2)
    have = flags(YES, YES)
    extra = rows(E1, E3)
    loss = video_text_loss(h, h, have, 1.0, extra=extra, extra_same=torch.tensor([[True, False], [False, False]]))
    e = math.e
    assert loss.item() == pytest.approx((math.log((e + 1 + 1) / e) + math.log((e + 1 + 1 + 1) / e)) / 2, rel=1e-6)
    queue = Negatives(video=extra, degraded=rows(E2), text=extra, video_ids=keyword_ids([["a"], ["c"]]), text_ids=keyword_ids([["a"], ["c"]]))
    got = contrastive_losses(h, h, h, h, has_degraded=flags(NO, NO), has_text=have, tau=1.0, ids=keyword_ids([["a"], ["b"]]), negatives=queue)
    assert got.video_text.item() == pytest.approx(loss.item(), rel=1e-6)
    assert got.video_video.item() == pytest.approx(loss.item(), rel=1e-6)  # same vectors, same keys
    # t-v adds the queue's V' = e2: cosine 0 with T1, 1 with T2
    assert got.text_video.item() == pytest.approx((math.log((e + 3) / e) + math.log((2 * e + 3) / e)) / 2, rel=1e-6)


def test_total_weights_the_three_terms():
    torch.manual_seed(0)
    have = torch.ones(3, dtype=torch.bool)
    got = contrastive_losses(*torch.randn(4, 3, 5), has_degraded=have, has_text=have)
    assert got.total((1.0, 0.5, 0.0)).item() == pytest.approx(got.video_video.item() + 0.5 * got.text_video.item(), rel=1e-6)
    assert got.total().item() == pytest.approx((got.video_video + got.text_video + got.video_text).item(), rel=1e-6)


def test_every_representation_gets_a_gradient():
    torch.manual_seed(0)
    h = [torch.randn(3, 5, requires_grad=True) for _ in range(4)]
    have = torch.ones(3, dtype=torch.bool)
    contrastive_losses(*h, has_degraded=have, has_text=have).total().backward()
    assert all((x.grad.abs().sum(dim=1) > 0).all() for x in h)


def test_absent_rows_get_none_and_change_nothing():
    torch.manual_seed(0)
    h_v, h_view, h_text = torch.randn(3, 3, 5)
    have = flags(YES, NO, YES)
    results = []
    for filler in (0.0, 7.0):
        h_degraded = torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
        h_degraded[1] = filler
        h_degraded.requires_grad_()
        loss = contrastive_losses(h_v, h_view, h_degraded, h_text, has_degraded=have, has_text=flags(YES, YES, YES)).total()
        loss.backward()
        assert h_degraded.grad[1].abs().sum() == 0
        assert h_degraded.grad[0].abs().sum() > 0
        results.append(loss.item())
    assert results[0] == results[1]


def test_nothing_to_contrast_is_zero_with_a_graph():
    h = torch.randn(1, 5, requires_grad=True)
    none = flags(NO)
    got = contrastive_losses(h, None, h, h, has_degraded=none, has_text=none)
    assert got.total().item() == 0.0
    got.total().backward()
    assert h.grad is not None
    assert h.grad.abs().sum() == 0
    assert all(math.isnan(value.item()) for value in got.metrics.values())


def test_bfloat16_is_computed_in_float32():
    h = torch.randn(4, 64).bfloat16()
    have = torch.ones(4, dtype=torch.bool)
    assert contrastive_losses(h, h, h, h, has_degraded=have, has_text=have).total().dtype == torch.float32


def test_alignment_metrics_by_hand():
    h_v = rows(E1, E2, E3)
    h_text = rows(E1, E1, E3)  # text 2 is nearest to video 1: a miss unless both rows have the same keywords
    h_degraded = rows([0.6, 0.8, 0.0], E1, E3)
    metrics = alignment_metrics(h_v, h_degraded, h_text, flags(YES, YES, NO), flags(YES, YES, YES))
    assert metrics["t2v_r1"].item() == pytest.approx(2 / 3)
    assert metrics["text_prefers_v"].item() == pytest.approx(0.5)  # row 1: 1 > .6, row 2: 0 < 1, row 3 has no V'
    assert metrics["cos_v_degraded"].item() == pytest.approx(0.3)  # (.6 + 0) / 2
    same = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool)
    assert alignment_metrics(h_v, h_degraded, h_text, flags(YES, YES, NO), flags(YES, YES, YES), same)["t2v_r1"].item() == 1.0


def test_gathered_whole_batch_gives_the_single_process_gradient():
    """Each of two ranks holds half the rows; all_gather's backward sums both ranks' gradients and DDP averages them."""
    torch.manual_seed(0)
    h = torch.randn(4, 4, 5)
    have = torch.ones(4, dtype=torch.bool)
    whole = h.clone().requires_grad_()
    contrastive_losses(*whole, has_degraded=have, has_text=have).total().backward()
    halves = [h[:, :2].clone().requires_grad_(), h[:, 2:].clone().requires_grad_()]
    loss = sum(contrastive_losses(*torch.cat(halves, dim=1), has_degraded=have, has_text=have).total() for _ in range(2)) / 2
    loss.backward()
    torch.testing.assert_close(torch.cat([half.grad for half in halves], dim=1), whole.grad)
