"""InfoNCE between a video, its twin without the key frames, a second view of it, and its keywords (paper 3.2, eqs. 4-7).

Every representation is a row of an (B, D) tensor; similarity is the cosine. Two departures from the literal equations, both
off by default here and switched on by the caller: `same` keeps rows with the same keywords from being each other's negatives,
and `Negatives` adds keys beyond the batch. Rows without V' or without keywords drop only the terms that need them.
To train on several ranks, gather all inputs with gradient and call these functions on the whole batch on every rank: the value is
then the single-process one, and averaging gradients over ranks gives the single-process gradient.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

NO_KEYWORDS = -1
"""Keyword id of a row without keywords; equal to no other row's."""


@dataclass(frozen=True)
class Negatives:
    """Keys from outside the batch, none of them a positive.

    Attributes:
        video: (N, D) h_V of other clips.
        degraded: (N', D) h_V' of other clips.
        text: (N'', D) h_T of other clips.
        video_ids: (N,) int64 keyword ids, see `keyword_ids`.
        text_ids: (N'',) int64 keyword ids.
    """

    video: Tensor
    degraded: Tensor
    text: Tensor
    video_ids: Tensor
    text_ids: Tensor


@dataclass(frozen=True)
class ContrastiveLosses:
    """The three terms, each a scalar, and detached alignment metrics (NaN where no row can be measured)."""

    video_video: Tensor
    text_video: Tensor
    video_text: Tensor
    metrics: dict[str, Tensor]

    def total(self, weights: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Tensor:
        """The bracket of eq. (7): the weighted sum of the v-v, t-v and v-t terms."""
        return weights[0] * self.video_video + weights[1] * self.text_video + weights[2] * self.video_text


def keyword_ids(keywords: Sequence[Sequence[str]]) -> Tensor:
    """A stable number for each row's set of keywords, ignoring order and case.

    Args:
        keywords: B rows of phrases; an empty row gets `NO_KEYWORDS`.

    Returns:
        (B,) int64, at least 0 where there are keywords. The same on every rank and in every process.
    """
    ids = []
    for row in keywords:
        phrases = sorted({phrase.casefold().strip() for phrase in row} - {""})
        digest = hashlib.sha256("\x1f".join(phrases).encode()).digest()
        ids.append(int.from_bytes(digest[:8], "big") >> 1 if phrases else NO_KEYWORDS)
    return torch.tensor(ids, dtype=torch.int64)


def same_ids(rows: Tensor, keys: Tensor) -> Tensor:
    """(B, B') bool: row i and key j carry the same keywords. Rows without keywords equal nothing."""
    return (rows[:, None] == keys[None, :]) & (rows[:, None] != NO_KEYWORDS)


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """(N, M) cosine similarity of (N, D) and (M, D), in float32 whatever the inputs are."""
    return F.normalize(a.float(), dim=-1) @ F.normalize(b.float(), dim=-1).T


def _info_nce(positive: Tensor, negatives: Tensor, is_negative: Tensor, anchors: Tensor) -> Tensor:
    """Mean over anchors of -log(exp(p) / (exp(p) + sum of exp(n))).

    Args:
        positive: (B,) logits.
        negatives: (B, M) logits.
        is_negative: (B, M) bool, False leaves the key out.
        anchors: (B,) bool, the rows that are counted; without any the loss is 0 and still has a graph.
    """
    logits = torch.cat([positive[:, None], negatives.masked_fill(~is_negative, float("-inf"))], dim=1)  # (B, 1 + M)
    losses = logits.logsumexp(dim=1) - positive  # (B,)
    return losses.where(anchors, 0.0).sum() / anchors.sum().clamp(min=1)


def _others(size: int, same: Tensor | None, device: torch.device) -> Tensor:
    """(B, B) bool: key j is a negative of row i, i.e. another row that does not have the same keywords."""
    other = ~torch.eye(size, dtype=torch.bool, device=device)
    return other if same is None else other & ~same


def _extra(anchor: Tensor, keys: Tensor | None, same: Tensor | None) -> tuple[Tensor, Tensor]:
    """Similarities (B, N) to keys from outside the batch, and which of them are negatives; N = 0 without keys."""
    if keys is None:
        return anchor.new_zeros(len(anchor), 0, dtype=torch.float32), torch.zeros(len(anchor), 0, dtype=torch.bool, device=anchor.device)
    sim = cosine(anchor, keys)
    return sim, torch.ones_like(sim, dtype=torch.bool) if same is None else ~same


def video_video_loss(
    h_v: Tensor,
    h_view: Tensor,
    h_degraded: Tensor,
    has_degraded: Tensor,
    tau: float,
    same: Tensor | None = None,
    extra: Tensor | None = None,
    extra_same: Tensor | None = None,
) -> Tensor:
    """Eq. (4): V against its second view, with the other rows' views and its own V' as negatives.

    Args:
        h_v: (B, D) anchors.
        h_view: (B, D) the same videos under another dropout mask.
        h_degraded: (B, D) V'; rows without V' may hold anything finite.
        has_degraded: (B,) bool.
        tau: temperature.
        same: (B, B) bool, rows with the same keywords; the diagonal is ignored. None: literal.
        extra: (N, D) further negatives, e.g. videos of a queue.
        extra_same: (B, N) bool, extra keys that have the row's keywords.

    Returns:
        Scalar, the mean over the B anchors.
    """
    sim = cosine(h_v, h_view) / tau  # (B, B)
    own_degraded = (F.normalize(h_v.float(), dim=-1) * F.normalize(h_degraded.float(), dim=-1)).sum(-1, keepdim=True) / tau  # (B, 1)
    more, is_more = _extra(h_v, extra, extra_same)
    negatives = torch.cat([sim, own_degraded, more / tau], dim=1)
    is_negative = torch.cat([_others(len(h_v), same, h_v.device), has_degraded[:, None], is_more], dim=1)
    return _info_nce(sim.diagonal(), negatives, is_negative, torch.ones_like(has_degraded))


def text_video_loss(
    h_text: Tensor,
    h_v: Tensor,
    h_degraded: Tensor,
    has_text: Tensor,
    has_degraded: Tensor,
    tau: float,
    same: Tensor | None = None,
    extra: Tensor | None = None,
    extra_same: Tensor | None = None,
    extra_degraded: Tensor | None = None,
) -> Tensor:
    """Eq. (5): keywords against their video; negatives are the other videos and ALL V'_j of the batch, its own included.

    `same` does not spare V'_j: a video that lost the event is a negative for every row that names that event.

    Args:
        h_text: (B, D) anchors; rows without keywords may hold anything finite.
        h_v: (B, D) positives on the diagonal.
        h_degraded: (B, D) V'; rows without V' may hold anything finite.
        has_text: (B,) bool.
        has_degraded: (B,) bool.
        tau: temperature.
        same: (B, B) bool, rows with the same keywords; the diagonal is ignored. None: literal.
        extra: (N, D) further negative videos.
        extra_same: (B, N) bool, extra videos that have the row's keywords.
        extra_degraded: (N', D) further V'.

    Returns:
        Scalar, the mean over the anchors with keywords; 0 without any.
    """
    sim = cosine(h_text, h_v) / tau  # (B, B)
    degraded = cosine(h_text, h_degraded) / tau  # (B, B)
    more, is_more = _extra(h_text, extra, extra_same)
    more_degraded, is_more_degraded = _extra(h_text, extra_degraded, None)
    negatives = torch.cat([sim, degraded, more / tau, more_degraded / tau], dim=1)
    is_negative = torch.cat([_others(len(h_v), same, h_v.device), has_degraded.expand(len(h_v), -1), is_more, is_more_degraded], dim=1)
    return _info_nce(sim.diagonal(), negatives, is_negative, has_text)


def video_text_loss(
    h_v: Tensor,
    h_text: Tensor,
    has_text: Tensor,
    tau: float,
    same: Tensor | None = None,
    extra: Tensor | None = None,
    extra_same: Tensor | None = None,
) -> Tensor:
    """Eq. (6): a video against its keywords; negatives are the other rows' keywords.

    Args:
        h_v: (B, D) anchors.
        h_text: (B, D) positives on the diagonal; rows without keywords may hold anything finite and are no negatives either.
        has_text: (B,) bool.
        tau: temperature.
        same: (B, B) bool, rows with the same keywords; the diagonal is ignored. None: literal.
        extra: (N, D) further negative keywords.
        extra_same: (B, N) bool, extra keywords that equal the row's.

    Returns:
        Scalar, the mean over the anchors with keywords; 0 without any.
    """
    sim = cosine(h_v, h_text) / tau  # (B, B)
    more, is_more = _extra(h_v, extra, extra_same)
    is_negative = torch.cat([_others(len(h_v), same, h_v.device) & has_text, is_more], dim=1)
    return _info_nce(sim.diagonal(), torch.cat([sim, more / tau], dim=1), is_negative, has_text)


@torch.no_grad()
def alignment_metrics(h_v: Tensor, h_degraded: Tensor, h_text: Tensor, has_degraded: Tensor, has_text: Tensor, same: Tensor | None = None) -> dict[str, Tensor]:
    """How well block l aligns videos and keywords; scalars, NaN where no row can be measured.

    Returns:
        t2v_r1: share of keyword rows whose nearest video is their own (or one with the same keywords).
        text_prefers_v: share of rows with cos(T, V) > cos(T, V').
        cos_v_degraded: mean cos(V, V').
    """
    text_v, text_degraded = cosine(h_text, h_v), cosine(h_text, h_degraded)
    right = torch.eye(len(h_v), dtype=torch.bool, device=h_v.device)
    right = right if same is None else right | same
    hit = right.gather(1, text_v.argmax(dim=1, keepdim=True))[:, 0]
    prefers = text_v.diagonal() > text_degraded.diagonal()
    return {
        "t2v_r1": hit[has_text].float().mean(),
        "text_prefers_v": prefers[has_text & has_degraded].float().mean(),
        "cos_v_degraded": cosine(h_v, h_degraded).diagonal()[has_degraded].mean(),
    }


def contrastive_losses(
    h_v: Tensor,
    h_view: Tensor | None,
    h_degraded: Tensor,
    h_text: Tensor,
    *,
    has_degraded: Tensor,
    has_text: Tensor,
    tau: float = 0.07,
    ids: Tensor | None = None,
    negatives: Negatives | None = None,
) -> ContrastiveLosses:
    """All three terms of eq. (7) at one block, and the alignment metrics.

    Args:
        h_v: (B, D) videos.
        h_view: (B, D) second views; None leaves the v-v term out (it is then 0).
        h_degraded: (B, D) V'; rows without V' may hold anything finite.
        h_text: (B, D) keywords; rows without keywords may hold anything finite.
        has_degraded: (B,) bool.
        has_text: (B,) bool.
        tau: temperature (0.07; the paper does not state it).
        ids: (B,) keyword ids that mask false negatives; None: literal, every other row is a negative.
        negatives: keys from outside the batch.
    """
    same = None if ids is None else same_ids(ids, ids)
    video, degraded, text, video_same, text_same = None, None, None, None, None
    if negatives is not None:
        video, degraded, text = negatives.video, negatives.degraded, negatives.text
        if ids is not None:
            video_same, text_same = same_ids(ids, negatives.video_ids), same_ids(ids, negatives.text_ids)
    video_video = h_v.float().sum() * 0.0 if h_view is None else video_video_loss(h_v, h_view, h_degraded, has_degraded, tau, same, video, video_same)
    return ContrastiveLosses(
        video_video=video_video,
        text_video=text_video_loss(h_text, h_v, h_degraded, has_text, has_degraded, tau, same, video, video_same, degraded),
        video_text=video_text_loss(h_v, h_text, has_text, tau, same, text, text_same),
        metrics=alignment_metrics(h_v, h_degraded, h_text, has_degraded, has_text, same),
    )
