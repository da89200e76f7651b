"""Sample + Clip -> Tree: which branches a sample grows in each stage, and what each branch is for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.tree import Tree
from videoperceiver.types import Clip, Question, Sample


@dataclass
class SftTree:
    """One sample's tree and the roles of its nodes (indices into tree.nodes).

    Attributes:
        answers: nodes whose labels are trained by cross-entropy.
        events: those of them that answer a question about the event.
        evidence: (answer node on V, answer node on V', candidate token ids) a question about the event.
        full, view, degraded, text: tapped nodes of h_V, h_V+, h_V', h_T; None where the sample has none.
    """

    sample: Sample
    tree: Tree
    answers: list[int]
    events: list[int] = field(default_factory=list)
    evidence: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    full: int | None = None
    view: int | None = None
    degraded: int | None = None
    text: int | None = None


@dataclass(frozen=True)
class SftLayout:
    """What stage 1 grows on every clip's tree.

    Attributes:
        contrast: h_V and h_V', for the contrastive terms.
        view: a second view of V too.
        text: the keywords too.
        concatenated: V' and the keywords follow V in one causal row, instead of standing alone.
        evidence: of the questions about the event, the share that is also asked on V' (through all blocks), with full distributions.
        last_tap: the deepest tapped block; nodes that only serve the contrastive terms leave after it.
        view_dropout: of the second view.
        view_where: whether it acts on the features or on the attention.
        view_gradient: whether the second view is trained.
        captions: train on the caption too.
        questions_per_clip: 0 = all.
        instruction_share: of the questions carry the refeed instruction `instruction`.
        caption_prompt: asks for the caption.
        image_prompt: asks for that of a picture.
        max_tokens: a larger tree is refused.
    """

    contrast: bool
    view: bool
    text: bool
    concatenated: bool
    evidence: float
    last_tap: int
    view_dropout: float
    view_where: Literal["features", "attention"]
    view_gradient: bool
    captions: bool
    questions_per_clip: int
    instruction_share: float
    instruction: str
    caption_prompt: str
    image_prompt: str
    max_tokens: int


def sft_tree(backbone: Backbone, sample: Sample, clip: Clip, layout: SftLayout, rng: np.random.Generator) -> SftTree:
    """Grows one clip's stage-1 tree: V with its questions and caption, and what the V' terms need."""
    contrast = layout.contrast and sample.media == "video"
    drawn = draw_questions(sample, layout, rng)
    on_degraded = sample.degradation is not None and any(asked.on_degraded for asked in drawn)
    with_degraded = sample.degradation is not None and (layout.contrast or on_degraded)
    builder = builder_of(backbone, sample, clip, with_degraded=with_degraded, max_tokens=layout.max_tokens)
    full = builder.video(tap=contrast)
    isolated = contrast and not layout.concatenated
    degraded = None
    if with_degraded and (isolated or on_degraded):
        degraded = builder.degraded(depth=None if on_degraded else layout.last_tap, tap=isolated)
    answers, events, evidence = [], [], []
    for question, instruction, twice in drawn:
        answer = builder.answer(builder.question(full, question.text, instruction=instruction), question.answer, distribution=twice)
        answers.append(answer)
        if not question.static:
            events.append(answer)
        if twice and degraded is not None:
            twin = builder.answer(builder.question(degraded, question.text, instruction=instruction), question.answer, distribution=True)
            evidence.append((answer, twin, first_tokens(backbone, question.options)))
    if layout.captions and sample.caption and sample.media != "none":
        prompt = layout.caption_prompt if sample.media == "video" else layout.image_prompt
        answers.append(builder.answer(builder.question(full, prompt), sample.caption))
    grown = SftTree(sample, builder.tree(), answers, events, evidence)
    if contrast:
        grown.full, depth, parent = full, layout.last_tap, -1
        if layout.concatenated:
            degraded = builder.degraded_after(full, depth, tap=True) if with_degraded else None
            parent = full if degraded is None else degraded
        grown.degraded = degraded
        if layout.view:
            grown.view = builder.second_view(dropout=layout.view_dropout, depth=depth, where=layout.view_where, gradient=layout.view_gradient)
        if layout.text and sample.keywords:
            grown.text = builder.text(" ; ".join(sample.keywords), parent=parent, depth=depth)
    grown.tree = builder.tree()
    return grown


class Asked(NamedTuple):
    """A question, the instruction that follows it ("" for most), and whether V' is asked too."""

    question: Question
    instruction: str
    on_degraded: bool


def draw_questions(sample: Sample, layout: SftLayout, rng: np.random.Generator) -> list[Asked]:
    """The questions asked this time: all that is random about a sample's tree."""
    chosen = choose_questions(sample.questions, layout.questions_per_clip, rng)
    instructions = [layout.instruction if rng.random() < layout.instruction_share else "" for _ in chosen]
    about_event = [not question.static and len(question.options) > 1 for question in chosen]
    drawn = rng.random(len(chosen)) < layout.evidence if 0 < layout.evidence < 1 else np.full(len(chosen), layout.evidence > 0)
    return [Asked(*asked) for asked in zip(chosen, instructions, (drawn & about_event).tolist(), strict=True)]


def builder_of(backbone: Backbone, sample: Sample, clip: Clip, *, with_degraded: bool = True, max_tokens: int | None = None) -> TreeBuilder:
    """A builder of the sample's tree, with its V' where it has one and it is wanted."""
    made = sample.degradation if with_degraded else None
    return TreeBuilder(backbone, clip, degraded_idx=None if made is None else made.source_idx, sample_id=sample.id, max_tokens=max_tokens, media=sample.media)


def first_tokens(backbone: Backbone, options: Sequence[str]) -> tuple[int, ...]:
    """The answer class at the answer's first position: the first token of each option."""
    return tuple(int(backbone.encode_text(option)[0]) for option in options)


def choose_questions(questions: Sequence[Question], number: int, rng: np.random.Generator) -> list[Question]:
    """`number` of the questions without replacement, in random order; 0 = all, in their own order."""
    if number == 0 or number >= len(questions):
        return list(questions)
    return [questions[i] for i in rng.choice(len(questions), size=number, replace=False)]
