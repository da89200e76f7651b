"""Groups of completions on V and V', their quality, and refeed (paper 3.3)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from videoperceiver import answers
from videoperceiver.data.collate import builder_of
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Completion, generate
from videoperceiver.rewards.comparator import needs_refeed
from videoperceiver.stages import SamplingConfig
from videoperceiver.types import Clip, Question, Sample


@dataclass
class Group:
    """G completions of one question on V and as many on V', with their scores.

    Attributes:
        sample, clip, question: what was asked about what.
        completions: G, on V.
        degraded: G on V'; empty where the sample has no V'.
        tries: (G,) how often completion i was sampled again with the refeed instruction; 0 = answered the plain prompt.
        quality: (G,) Q(y_i, y*), NaN where unscorable.
        quality_degraded: (G,) Q(y'_i, y*), NaN where unscorable or without V'.
        first_quality: (G,) Q before any refeed.
    """

    sample: Sample
    clip: Clip
    question: Question
    completions: list[Completion]
    degraded: list[Completion]
    tries: list[int]
    quality: Tensor
    quality_degraded: Tensor
    first_quality: Tensor


def quality(completions: Sequence[Completion], question: Question) -> Tensor:
    """(G,) Q(y_i, y*): exact match after the shared parser; NaN where the completion cannot be scored."""
    return torch.tensor([answers.compare(c.text, question.answer, question.kind, question.options) for c in completions])


def sample_groups(backbone: Backbone, prompts: Sequence[tuple[Sample, Clip, Sequence[Question]]], sampling: SamplingConfig, seed: int) -> list[Group]:
    """One group a question: y_1..G ~ pi(.|V, q) and y'_1..G ~ pi(.|V', q), all from one prefill a clip."""
    trees, leaves = [], []
    for sample, clip, questions in prompts:
        builder = builder_of(backbone, sample, clip)
        videos = [builder.video()] + ([builder.degraded()] if sample.degradation else [])
        leaves.append([builder.question(video, q.text) for q in questions for video in videos])
        trees.append(builder.tree())
    drawn = _draw(backbone, trees, leaves, sampling, seed)
    groups = []
    for (sample, clip, questions), completions in zip(prompts, drawn, strict=True):
        num_videos = 2 if sample.degradation else 1
        for i, question in enumerate(questions):
            full, *degraded = completions[i * num_videos : (i + 1) * num_videos]
            q = quality(full, question)
            q_degraded = quality(degraded[0], question) if degraded else torch.full_like(q, torch.nan)
            groups.append(Group(sample, clip, question, full, degraded[0] if degraded else [], [0] * len(full), q, q_degraded, q.clone()))
    return groups


def refeed(backbone: Backbone, groups: list[Group], sampling: SamplingConfig, seed: int) -> list[Group]:
    """Draws again, from V and with the instruction appended to q, every completion that V' matches, until it is better or tries run out.

    A static question is left alone: V' shows its answer too.

    A completion that is drawn again replaces the old one; the policy is later trained on it under the prompt that produced it.
    """
    for attempt in range(1, sampling.max_refeed + 1):
        wanted = [needs_refeed(g.quality[None], g.quality_degraded[None], sampling.refeed_when)[0] for g in groups]  # (G,) each
        behind = [(g, w) for g, w in zip(groups, wanted, strict=True) if w.any() and not g.question.static]
        if not behind:
            return groups
        trees, leaves = [], []
        for group, _ in behind:
            builder = builder_of(backbone, group.sample, group.clip, with_degraded=False)
            leaves.append([builder.question(builder.video(), group.question.text, instruction=sampling.instruction)])
            trees.append(builder.tree())
        for (group, again), [drawn] in zip(behind, _draw(backbone, trees, leaves, sampling, seed + attempt), strict=True):
            scores = quality(drawn, group.question)
            for i in again.nonzero()[:, 0].tolist():
                group.completions[i], group.tries[i], group.quality[i] = drawn[i], attempt, scores[i]
    return groups


def _draw(backbone: Backbone, trees: list, leaves: list, sampling: SamplingConfig, seed: int) -> list[list[list[Completion]]]:
    return generate(
        backbone, trees, leaves, num_generations=sampling.num_generations, max_new_tokens=sampling.max_new_tokens, temperature=sampling.temperature, seed=seed
    )
