"""Groups of completions on V and V': drawing, drawing anew where a group tells nothing, refeed (paper 3.3)."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import torch
from torch import Tensor

from videoperceiver.data.collate import builder_of
from videoperceiver.errors import SampleError
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import Completion, Seed
from videoperceiver.models.tree import Tree
from videoperceiver.rewards.comparator import needs_refeed
from videoperceiver.stages import RewardConfig, SamplingConfig
from videoperceiver.training.engines.protocol import Drawn, RolloutEngine
from videoperceiver.types import Clip, Question, Sample

Score = Callable[..., tuple[Tensor, Tensor, Tensor]]
"""A `scores.Scorer`, or one that is timed."""

Asked = tuple[str, str, str]
"""Sample, question, and on what it is asked."""


@dataclass(frozen=True)
class Prompt:
    """A clip and what is asked about it. `at` is its place in the step's batch, the same however the batch is spread over processes."""

    at: int
    sample: Sample
    clip: Clip
    questions: Sequence[Question]


@dataclass
class Group:
    """G completions of one question on V and as many on V', with their scores.

    Attributes:
        at: of the prompt.
        sample, clip, question: what was asked about what.
        completions: G, on V.
        degraded: G on V'; empty where the sample has no V' or V' is not asked.
        tries: (G,) how often completion i was sampled again with the refeed instruction; 0 = answered the plain prompt.
        quality: (G,) Q(y_i, y*), NaN where unscorable.
        quality_degraded: (G,) Q(y'_i, y*), NaN where unscorable or without V'; pi(y*|V') repeated with the expected comparator, 0 with none.
        first_quality: (G,) Q before any refeed.
        surface: (G,) base reward r_b, NaN where all rules abstain or one failed.
        failed: (G,) a reward rule failed on it: it is left out of everything.
        draws: how often the group was drawn.
    """

    at: int
    sample: Sample
    clip: Clip
    question: Question
    completions: list[Completion]
    degraded: list[Completion]
    tries: list[int]
    quality: Tensor
    quality_degraded: Tensor
    first_quality: Tensor
    surface: Tensor
    failed: Tensor
    draws: int = 1


@dataclass(frozen=True)
class Rollouts:
    """How a step's groups are drawn.

    Attributes:
        engine: draws.
        backbone: grows the trees, and tells pi(y*|V') for the expected comparator.
        sampling, reward: of the recipe.
        score: Q and base reward of completions.
        by_question: one random stream a question, so that its completions depend on nothing else that is drawn.
        max_tokens: of a clip's tree before anything is drawn; a larger one is rejected.
        rejects: clips whose tree could not be grown, since they were last taken.
        tokens: run through the model for V and for V', since they were last taken.
        instructed: with one stream a question, the tree and node of each question with the refeed instruction, to be continued without another prefill.
    """

    engine: RolloutEngine
    backbone: Backbone
    sampling: SamplingConfig
    reward: RewardConfig
    score: Score
    by_question: bool = False
    max_tokens: int | None = None
    rejects: list[SampleError] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=lambda: {"V": 0, "V'": 0})
    instructed: dict[tuple[int, str], tuple[Tree, int]] = field(default_factory=dict)

    def sample(self, prompts: Sequence[Prompt], seed: int, draw: int = 1) -> list[Group]:
        """One group a question: y_1..G ~ pi(.|V, q) and y'_1..G ~ pi(.|V', q), all from one prefill a clip."""
        grown: list[tuple[Prompt, Tree, list[int], list[Asked]]] = []
        for prompt in prompts:
            try:
                grown.append((prompt, *self._grow(prompt)))
            except SampleError as error:
                self.rejects.append(error)
        if not grown:
            return []
        kept, trees, leaves, asked = map(list, zip(*grown, strict=True))
        drawn = self._draw(trees, leaves, self._seeds(asked, _mix(seed, draw) if draw > 1 else seed, draw))
        groups = [group for prompt, completions in zip(kept, drawn, strict=True) for group in self._groups(prompt, completions, draw)]
        self.tokens["V"] += sum(len(c.token_ids) for g in groups for c in g.completions)
        self.tokens["V'"] += sum(len(c.token_ids) for g in groups for c in g.degraded)
        self._score(groups)
        return groups

    def resample(self, groups: list[Group], seed: int, lacks_signal: Callable[[Sequence[Group]], list[bool]]) -> list[Group]:
        """Draws the groups without signal anew, both sides, until they have one or the tries run out."""
        groups = list(groups)
        for attempt in range(self.sampling.max_resample if groups else 0):
            empty = [i for i, lacks in enumerate(lacks_signal(groups)) if lacks]
            if not empty:
                break
            again = [
                Prompt(at, groups[(own := list(of_clip))[0]].sample, groups[own[0]].clip, [groups[i].question for i in own])
                for at, of_clip in groupby(empty, lambda i: groups[i].at)
            ]
            for i, fresh in zip(empty, self.sample(again, seed, draw=attempt + 2), strict=True):
                groups[i] = fresh
        return groups

    def refeed(self, groups: list[Group], seed: int) -> list[Group]:
        """Draws again, from V and with the instruction appended to q, every completion that V' matches, until it is better or tries run out.

        A static question is left alone: V' shows its answer too. A completion that is drawn again replaces the old one; the policy is later trained on it
        under the prompt that produced it.
        """
        drawn: dict[tuple[int, str], list[list[Completion]]] = {}  # of each question, attempt by attempt
        for attempt in range(1, self.sampling.max_refeed + 1):
            wanted = [needs_refeed(g.quality[None], g.quality_degraded[None], self.sampling.refeed_when)[0] & ~g.failed for g in groups]  # (G,) each
            behind = [(g, w.nonzero()[:, 0].tolist()) for g, w in zip(groups, wanted, strict=True) if w.any() and not g.question.static]
            if not behind:
                break
            self._draw_again([group for group, _ in behind], seed, attempt, drawn)
            fresh = [(group, i, drawn[group.at, group.question.id][attempt - 1][i]) for group, indices in behind for i in indices]
            quality, surface, failed = self.score([(completion.text, group.question, group.sample.id) for group, _, completion in fresh])
            for n, (group, i, completion) in enumerate(fresh):
                group.completions[i], group.tries[i] = completion, attempt
                group.quality[i], group.surface[i], group.failed[i] = quality[n], surface[n], failed[n]
        self.instructed.clear()
        return groups

    # how

    def _draw_again(self, groups: Sequence[Group], seed: int, attempt: int, drawn: dict[tuple[int, str], list[list[Completion]]]) -> None:
        """Adds an attempt's completions; with a stream a question the first call draws those of all attempts, in one decoding and with equal results."""
        if self.by_question and attempt > 1:
            return
        attempts = range(attempt, self.sampling.max_refeed + 1) if self.by_question else [attempt]
        trees, leaves = map(list, zip(*(self._instructed(group) for group in groups), strict=True))
        if self.by_question:
            seeds: Seed = [[_mix(seed, n, g.sample.id, g.question.id, "refeed") for n in attempts] for g in groups]
        else:
            seeds = seed + attempt
        found = self._draw(trees, [[leaf] * len(attempts) for leaf in leaves], seeds)
        for group, completions in zip(groups, found, strict=True):
            drawn.setdefault((group.at, group.question.id), []).extend(completions)
        self.tokens["V"] += sum(len(c.token_ids) for of_group in found for of_attempt in of_group for c in of_attempt)

    def _instructed(self, group: Group) -> tuple[Tree, int]:
        """A tree that holds the group's question with the instruction, and where."""
        if found := self.instructed.get((group.at, group.question.id)):
            return found
        builder = builder_of(self.backbone, group.sample, group.clip, with_degraded=False)
        self.tokens["V"] += builder.video_tokens
        leaf = builder.question(builder.video(), group.question.text, instruction=self.sampling.instruction)
        return builder.tree(), leaf

    def _grow(self, prompt: Prompt) -> tuple[Tree, list[int], list[Asked]]:
        """The clip's tree, the questions to continue in it, and what each is: on V, then on V' where it is asked."""
        sides = [[False, True] if self._draws_degraded(prompt.sample, q) else [False] for q in prompt.questions]
        twin = any(len(own) > 1 for own in sides)
        builder = builder_of(self.backbone, prompt.sample, prompt.clip, with_degraded=twin, max_tokens=self.max_tokens)
        video = builder.video()
        degraded = builder.degraded() if twin else -1
        if degraded >= 0:
            self.tokens["V'"] += len(builder.tree().nodes[degraded])
        self.tokens["V"] += builder.video_tokens
        every = [(q, side) for q, own in zip(prompt.questions, sides, strict=True) for side in own]
        leaves = [builder.question(degraded if side else video, q.text) for q, side in every]
        again = []
        if self.by_question and self.sampling.max_refeed and self.reward.objective == "comparative" and prompt.sample.degradation is not None:
            again = [(q.id, builder.question(video, q.text, instruction=self.sampling.instruction)) for q in prompt.questions if not q.static]
        tree = builder.tree()
        self.instructed.update({(prompt.at, question): (tree, leaf) for question, leaf in again})
        return tree, leaves, [(prompt.sample.id, q.id, "V'" if side else "V") for q, side in every]

    def _draws_degraded(self, sample: Sample, question: Question) -> bool:
        """A long answer's probability is no quality, so open questions are sampled under the expected comparator too."""
        kinds = {"sampled": True, "expected": question.kind == "open", "none": False}
        return sample.degradation is not None and kinds[self.reward.comparator]

    def _groups(self, prompt: Prompt, completions: Sequence[list[Completion]], draws: int) -> list[Group]:
        rest = iter(completions)
        groups = []
        for question in prompt.questions:
            full = next(rest)
            degraded = next(rest) if self._draws_degraded(prompt.sample, question) else []
            unknown = torch.full((len(full),), torch.nan)
            groups.append(
                Group(
                    at=prompt.at,
                    sample=prompt.sample,
                    clip=prompt.clip,
                    question=question,
                    completions=full,
                    degraded=degraded,
                    tries=[0] * len(full),
                    quality=unknown,
                    quality_degraded=unknown.clone(),
                    first_quality=unknown,
                    surface=unknown,
                    failed=torch.zeros(len(full), dtype=torch.bool),
                    draws=draws,
                )
            )
        return groups

    def _score(self, groups: Sequence[Group]) -> None:
        full = [(c.text, g.question, g.sample.id) for g in groups for c in g.completions]
        degraded = [(c.text, g.question, g.sample.id) for g in groups for c in g.degraded]
        quality, surface, failed = self.score(full, degraded)
        sizes = [len(g.completions) for g in groups] + [len(g.degraded) for g in groups]
        parts = quality.split(sizes)
        surfaces, failures = surface.split(sizes[: len(groups)]), failed.split(sizes[: len(groups)])
        for i, group in enumerate(groups):
            group.quality, group.first_quality = parts[i].clone(), parts[i].clone()
            group.surface, group.failed = surfaces[i].clone(), failures[i].clone()
            if group.degraded:
                group.quality_degraded = parts[len(groups) + i].clone()
            elif group.sample.degradation is not None and self.reward.comparator == "none":
                group.quality_degraded = torch.zeros_like(group.quality)
        if self.reward.comparator == "expected":
            closed = [g for g in groups if g.sample.degradation is not None and not g.degraded]
            for group, probability in zip(closed, expected_quality(self.backbone, closed), strict=True):
                group.quality_degraded = torch.full_like(group.quality, probability)

    def _draw(self, trees: list[Tree], leaves: list[list[int]], seed: Seed) -> Drawn:
        s = self.sampling
        return self.engine.sample(trees, leaves, num_generations=s.num_generations, max_new_tokens=s.max_new_tokens, temperature=s.temperature, seed=seed)

    def _seeds(self, asked: Sequence[Sequence[Asked]], seed: int, draw: int) -> Seed:
        return [[_mix(seed, draw, *what) for what in own] for own in asked] if self.by_question else seed


@torch.no_grad()
def expected_quality(backbone: Backbone, groups: Sequence[Group]) -> list[float]:
    """pi(y*|V', q) of each group's question by teacher forcing: the probability of the reference answer with its end of turn, from one forward.

    V needs no such value: Q(y_i) has to be that of the completion whose log-probability it weighs.
    """
    if not groups:
        return []
    builders: list[TreeBuilder] = []
    nodes: list[list[int]] = []
    for _, same in groupby(groups, lambda g: g.at):
        own = list(same)
        builder = builder_of(backbone, own[0].sample, own[0].clip)
        degraded = builder.degraded()
        nodes.append([builder.answer(builder.question(degraded, g.question.text), g.question.answer) for g in own])
        builders.append(builder)
    output = backbone([builder.tree() for builder in builders])
    places = {(t, node): i for i, (t, node) in enumerate((t, node) for t, own in enumerate(nodes) for node in own)}
    index = torch.tensor([places[t, node] for t, node in output.node.tolist()], device=output.logps.device)
    return output.logps.new_zeros(len(places)).index_add(0, index, output.logps).exp().tolist()


def _mix(*parts: object) -> int:
    """A seed of 63 bits from numbers and names."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:8], "big") >> 1
