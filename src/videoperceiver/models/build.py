"""The only way trees are made: a clip and what is asked about it, spelled as the model's own processor would."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from videoperceiver.errors import BudgetError, SampleError
from videoperceiver.models.adapters import VideoTokens
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.tree import Node, Tree, follow
from videoperceiver.types import BLANK, Clip, Media

GREY = 128
"""Pixel value of a frame that shows nothing."""


class TreeBuilder:
    """Builds the tree of one clip; may go on after `tree()` was taken.

    Args:
        backbone: whose tokenizer, processor and layout are used.
        clip: V; resized as the processor would.
        degraded_idx: (T,) the frame of V that each frame of V' shows, BLANK for grey; None for no V'.
        sample_id: for messages.
        max_tokens: refuse a tree with more tokens; None = the model's context is the only limit.
        media: "image" for a clip that is one picture, "none" for an empty one: text alone.

    Raises:
        BudgetError: the video alone exceeds the budget or the context.
    """

    def __init__(
        self,
        backbone: Backbone,
        clip: Clip,
        degraded_idx: Sequence[int] | None = None,
        *,
        sample_id: str | None = None,
        max_tokens: int | None = None,
        media: Media = "video",
    ):
        self.backbone, self.sample_id, self.max_tokens = backbone, sample_id or clip.source, max_tokens
        frames = clip.frames if media == "none" else {"video": backbone.adapter.fit, "image": backbone.adapter.fit_image}[media](clip.frames)
        self.media: Media = media
        self.prompt = backbone.prompt if media == "video" else backbone.prompt_of(media)
        self._t_s = np.asarray(clip.t_s, dtype=np.float64)
        self._frames, self._tokens = frames, 0
        self._nodes: list[Node] = []
        self._memory: dict[str, Any] = {}
        self._patches: dict[tuple[int, ...], int] = {}
        self._source = np.arange(len(frames))
        self._spelled = self._spell()
        self._shown = self._patch_of(self._source)
        self._degraded = None if degraded_idx is None else self._degrade(np.asarray(degraded_idx))
        self._shared: int | None = None  # the node that V and V' have in common
        if media == "video":
            backbone.report_lost_time(self._t_s, self.sample_id)

    # nodes

    def video(self, depth: int | None = None, *, tap: bool = False) -> int:
        """V, up to its end-of-video token (or the picture's, or the opening of a text alone); questions branch off here."""
        return self._video(self._shown, depth, tap)

    def degraded(self, depth: int | None = None, *, tap: bool = False) -> int:
        """V', sharing V's tokens up to its first changed patch.

        Raises:
            SampleError: the builder was given no degradation, or one that changes nothing.
        """
        return self._video(self._require_degraded(), depth, tap)

    def second_view(
        self, *, dropout: float, depth: int | None = None, tap: bool = True, where: Literal["features", "attention"] = "features", gradient: bool = True
    ) -> int:
        """V again, a root of its own with dropout (in training mode) on its projected features or on its attention; without gradient on request."""
        spelled, node = self._spelled, Node(self._spelled.ids, patches=self._shown, depth=depth, tap=tap, gradient=gradient)
        node.positions = spelled.positions
        node.dropout, node.attention_dropout = (dropout, 0.0) if where == "features" else (0.0, dropout)
        return self._add(node)

    def degraded_after(self, parent: int, depth: int | None = None, *, tap: bool = False) -> int:
        """V' as the next video of the same conversation, so that it sees `parent` (the literal layout of eq. 3). Raises as `degraded`."""
        shown, spelled = self._require_degraded(), self._spelled
        opening = len(self._encode(self.backbone.prompt.opening.removesuffix(self.backbone.adapter.placeholder)))
        first = min(opening, int(np.flatnonzero(spelled.patch >= 0)[0]))
        start = int(follow(self._nodes[parent], 1)[0, 0])
        positions = spelled.positions[:, first:] - spelled.positions[:, first : first + 1] + start
        return self._add(Node(spelled.ids[first:], parent, patches=shown, depth=depth, tap=tap, positions=positions))

    def text(self, text: str, *, parent: int = -1, depth: int | None = None, tap: bool = True) -> int:
        """The keywords, with an end token where they are read: a root that sees nothing else, or after `parent` (the literal layout)."""
        end, encoder = self.backbone.prompt.end_of_turn, self.backbone.text_encoder
        if encoder is None:
            return self._add(Node(self._encode(text + end), parent, depth=depth, tap=tap))
        states = encoder(text)  # (n, W)
        closing = self._encode(end)
        return self._add(Node(np.concatenate([np.repeat(closing[:1], len(states)), closing]), parent, depth=depth, tap=tap, encoded=states))

    def question(self, parent: int, text: str, instruction: str = "") -> int:
        """A question about the video that ends at `parent`, up to the start of the assistant's turn."""
        prompt = self.prompt
        asked = f"{text} {instruction}" if instruction else text
        return self._add(Node(self._encode(prompt.before_question + asked + prompt.after_question), parent))

    def question_first(self, text: str) -> int:
        """A question that stands before its video, as some benchmarks ask, up to the assistant's turn: a root of its own, which shares pixels alone."""
        prompt, adapter = self.backbone.prompt, self.backbone.adapter
        opening = prompt.opening.removesuffix(adapter.placeholder) + text + adapter.placeholder
        times = self._t_s[self._pairs(self._source)].reshape(-1, adapter.frames_per_patch)
        height, width = self._frames.shape[1:3]
        spelled = adapter.spell(opening, times, height, width, self.backbone.encode_text)
        video = self._add(Node(spelled.ids, patches=self._shown, positions=spelled.positions))
        return self._add(Node(self._encode(prompt.before_question + prompt.after_question), video))

    def answer(self, parent: int, answer: str | Sequence[int] | np.ndarray, *, train: bool = True, distribution: bool = False) -> int:
        """An answer to the question `parent`: a text, which gets its end of turn, or the token ids of a completion as they are."""
        if isinstance(answer, str):
            ids = self._encode(answer + self.backbone.prompt.end_of_turn)
        else:
            ids = np.asarray(answer, dtype=np.int64)
        if not len(ids):
            raise SampleError("got an answer of no tokens, expected at least one", sample_id=self.sample_id)
        return self._add(Node(ids, parent, labels=ids if train else None, distribution=distribution))

    def tree(self) -> Tree:
        """The nodes so far. Trees of one builder share frames and remembered features."""
        if self._shared is not None:  # the common prefix goes as deep as the deeper of V and V'
            depths = [node.depth for node in self._nodes if node.parent == self._shared]
            self._nodes[self._shared].depth = None if None in depths else max(depth for depth in depths if depth is not None)
        return Tree(list(self._nodes), self._frames, self._t_s, list(self._patches), self.sample_id, self._memory)

    @property
    def video_tokens(self) -> int:
        """Tokens of V, from the conversation's start to its end-of-video token."""
        return len(self._spelled.ids)

    # how

    def _spell(self) -> VideoTokens:
        per = self.backbone.adapter.frames_per_patch
        pairs = self._pairs(self._source)
        spelled = self.backbone.spell_media(self.media, self._t_s[pairs].reshape(-1, per), *self._frames.shape[1:3])
        self._check(len(spelled.ids), int(spelled.positions.max()) + 1, f"its video of {len(self._frames)} frames of {self._frames.shape[1:3]} px")
        return spelled

    def _pairs(self, source: np.ndarray) -> np.ndarray:
        """Frames (T,) -> (patches, frames_per_patch); the last frame is repeated to fill the last patch, as the processor does."""
        per = self.backbone.adapter.frames_per_patch
        return np.concatenate([source, np.repeat(source[-1:], -len(source) % per)]).reshape(-1, per)

    def _patch_of(self, source: np.ndarray) -> np.ndarray:
        """Index of each temporal patch among the distinct ones."""
        return np.asarray([self._patches.setdefault(tuple(pair), len(self._patches)) for pair in self._pairs(source).tolist()], dtype=np.int64)

    def _degrade(self, source: np.ndarray) -> np.ndarray:
        frames = len(self._frames)
        if source.shape != (frames,) or source.min() < BLANK or source.max() >= frames:
            raise SampleError(
                f"got degraded frames {source.shape} with indices {source.min()}..{source.max()}, expected ({frames},) in {BLANK}..{frames - 1}",
                sample_id=self.sample_id,
            )
        if (source == BLANK).any():
            self._frames = np.concatenate([self._frames, np.full_like(self._frames[:1], GREY)])
            source = np.where(source == BLANK, frames, source)
        return self._patch_of(source)

    def _require_degraded(self) -> np.ndarray:
        if self._degraded is None or (self._degraded == self._shown).all():
            reason = "got no degraded frames" if self._degraded is None else "every frame of V' shows the same frame as V"
            raise SampleError(f"{reason}, expected at least one replaced frame; skip V' for this sample", sample_id=self.sample_id)
        return self._degraded

    def _video(self, shown: np.ndarray, depth: int | None, tap: bool) -> int:
        spelled, first, parent = self._spelled, 0, -1
        if self._degraded is not None and (self._degraded != self._shown).any():
            changed = int(np.flatnonzero(self._degraded != self._shown)[0])
            first = int(np.flatnonzero(spelled.patch == changed)[0])
            if self._shared is None:
                self._shared = self._add(Node(spelled.ids[:first], patches=self._shown[:changed], positions=spelled.positions[:, :first]))
            parent, shown = self._shared, shown[changed:]
        return self._add(Node(spelled.ids[first:], parent, patches=shown, depth=depth, tap=tap, positions=spelled.positions[:, first:]))

    def _encode(self, text: str) -> np.ndarray:
        return self.backbone.encode_text(text)

    def _add(self, node: Node) -> int:
        self._nodes.append(node)
        if node.positions is None:
            node.positions = follow(self._nodes[node.parent] if node.parent >= 0 else None, len(node))
        self._tokens += len(node)
        self._check(self._tokens, int(node.positions.max()) + 1, f"its branch of {len(node)} tokens")
        return len(self._nodes) - 1

    def _check(self, tokens: int, positions: int, what: str) -> None:
        if self.max_tokens is not None and tokens > self.max_tokens:
            raise BudgetError(
                f"{what} makes {tokens} tokens, expected at most {self.max_tokens}; use fewer or smaller frames or a larger budget", sample_id=self.sample_id
            )
        if positions > self.backbone.context:
            raise BudgetError(
                f"{what} reaches position {positions}, the model's context is {self.backbone.context}; use fewer or smaller frames", sample_id=self.sample_id
            )


def without_video(backbone: Backbone, questions: Sequence[str], *, sample_id: str) -> tuple[Tree, list[int]]:
    """The same conversation without a video: its tree, and the nodes of the questions, up to the assistant's turn."""
    prompt = backbone.prompt
    root = Node(backbone.encode_text(prompt.opening.removesuffix(backbone.adapter.placeholder)))
    asked = [Node(backbone.encode_text(prompt.before_question + text + prompt.after_question), 0) for text in questions]
    return Tree([root, *asked], np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1), [], sample_id), list(range(1, len(asked) + 1))
