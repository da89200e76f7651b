"""Sample + Clip -> Tree: which branches a sample grows in each stage, and what each branch is for."""

from collections.abc import Sequence
from dataclasses import dataclass, field

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
        evidence: (answer node on V, answer node on V', candidate token ids) a question about the event.
        full, view, degraded, text: tapped nodes of h_V, h_V+, h_V', h_T; None where the sample has none.
    """

    sample: Sample
    tree: Tree
    answers: list[int]
    evidence: list[tuple[int, int, tuple[int, ...]]] = field(default_factory=list)
    full: int | None = None
    view: int | None = None
    degraded: int | None = None
    text: int | None = None


@dataclass(frozen=True)
class SftLayout:
    """What stage 1 grows on every clip's tree.

    Attributes:
        contrast: h_V, h_V', a second view and the keywords, for the contrastive terms.
        evidence: questions about the event are also asked on V' (through all blocks), with full distributions.
        last_tap: the deepest tapped block; nodes that only serve the contrastive terms leave after it.
        view_dropout: of the second view.
        captions: train on the caption too.
        questions_per_clip: 0 = all.
        instruction_share: of the questions carry the refeed instruction `instruction`.
        caption_prompt: asks for the caption.
        max_tokens: a larger tree is refused.
    """

    contrast: bool
    evidence: bool
    last_tap: int
    view_dropout: float
    captions: bool
    questions_per_clip: int
    instruction_share: float
    instruction: str
    caption_prompt: str
    max_tokens: int


def sft_tree(backbone: Backbone, sample: Sample, clip: Clip, layout: SftLayout, rng: np.random.Generator) -> SftTree:
    """Grows one clip's stage-1 tree: V with its questions and caption, and what the V' terms need."""
    with_degraded = sample.degradation is not None and (layout.contrast or layout.evidence)
    builder = builder_of(backbone, sample, clip, with_degraded=with_degraded, max_tokens=layout.max_tokens)
    full = builder.video(tap=layout.contrast)
    degraded = builder.degraded(depth=None if layout.evidence else layout.last_tap, tap=layout.contrast) if with_degraded else None
    answers, evidence = [], []
    for question in choose_questions(sample.questions, layout.questions_per_clip, rng):
        instruction = layout.instruction if rng.random() < layout.instruction_share else ""
        asks_event = layout.evidence and not question.static and len(question.options) > 1
        answer = builder.answer(builder.question(full, question.text, instruction=instruction), question.answer, distribution=asks_event)
        answers.append(answer)
        if asks_event and degraded is not None:
            twin = builder.answer(builder.question(degraded, question.text, instruction=instruction), question.answer, distribution=True)
            evidence.append((answer, twin, first_tokens(backbone, question.options)))
    if layout.captions and sample.caption:
        answers.append(builder.answer(builder.question(full, layout.caption_prompt), sample.caption))
    grown = SftTree(sample, builder.tree(), answers, evidence)
    if layout.contrast:
        grown.full, grown.degraded = full, degraded
        grown.view = builder.second_view(dropout=layout.view_dropout, depth=layout.last_tap, tap=True)
        grown.text = builder.text(" ; ".join(sample.keywords), depth=layout.last_tap, tap=True) if sample.keywords else None
    grown.tree = builder.tree()
    return grown


def builder_of(backbone: Backbone, sample: Sample, clip: Clip, *, with_degraded: bool = True, max_tokens: int | None = None) -> TreeBuilder:
    """A builder of the sample's tree, with its V' where it has one and it is wanted."""
    made = sample.degradation if with_degraded else None
    return TreeBuilder(backbone, clip, degraded_idx=None if made is None else made.source_idx, sample_id=sample.id, max_tokens=max_tokens)


def first_tokens(backbone: Backbone, options: Sequence[str]) -> tuple[int, ...]:
    """The answer class at the answer's first position: the first token of each option."""
    return tuple(int(backbone.encode_text(option)[0]) for option in options)


def choose_questions(questions: Sequence[Question], number: int, rng: np.random.Generator) -> list[Question]:
    """`number` of the questions without replacement, in random order; 0 = all, in their own order."""
    if number == 0 or number >= len(questions):
        return list(questions)
    return [questions[i] for i in rng.choice(len(questions), size=number, replace=False)]
