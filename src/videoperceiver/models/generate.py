"""Sampling from a tree: one prefill of the shared prefixes, then all completions of all questions of all videos step together.

The keys and values of a tree are stored once, whatever the number of questions and completions; each completion only adds its own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from videoperceiver.models import forward
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.decode import Decode, Recorder
from videoperceiver.models.layout import Layout, runs
from videoperceiver.models.tree import Tree

# Shape suffixes: B trees, Q completions a tree (padded), N completions in all = B * Q, P prefix tokens a tree (padded), V vocabulary.

Seed = int | Sequence[Sequence[int]]
"""One seed of all that is drawn, or one for each tree's leaves: a leaf's completions then do not depend on what else is drawn with them."""


@dataclass(frozen=True, eq=False)
class Completion:
    """What was sampled after one leaf.

    Attributes:
        token_ids: (L,) int64, the stop token included where there is one.
        logps: (L,) float32, log-probabilities under the model itself (temperature 1, nothing cut off or suppressed), as a forward
            over the same tokens returns them.
        text: decoded, without special tokens.
        finished: whether it ended with a stop token rather than at max_new_tokens.
    """

    token_ids: np.ndarray
    logps: np.ndarray
    text: str
    finished: bool


@torch.no_grad()
def generate(
    backbone: Backbone,
    trees: Sequence[Tree],
    leaves: Sequence[Sequence[int]],
    *,
    num_generations: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: Seed,
) -> list[list[list[Completion]]]:
    """Sample completions.

    Args:
        backbone: put into evaluation mode for the call.
        trees: one a video; nodes that lead to no leaf are left out.
        leaves: for each tree, the nodes to continue (questions), in any order.
        num_generations: completions a leaf (G).
        max_new_tokens: longest completion.
        temperature: 0 = greedy.
        top_p: sample from the smallest set of tokens with this much probability.
        seed: the same seed and arguments give the same completions; see `Seed`.

    Returns:
        Completions by tree, leaf and generation.
    """
    run = prefill(backbone, trees, leaves)
    settings = {"num_generations": num_generations, "max_new_tokens": max_new_tokens, "temperature": temperature, "top_p": top_p, "seed": seed}
    return resume(backbone, run, range(len(trees)), leaves, **settings)


@dataclass(frozen=True, eq=False)
class Prefill:
    """Trees that were run once, to be continued from any of their leaves as often as wanted, while the weights stay as they are.

    Attributes:
        at: for each tree, the index in the run of each node that was kept.
        paths: for each tree and node of the run, the nodes from the root to it.
        layout, hidden, recorder: positions, last hidden states (R, W, D), keys and values of the run.
    """

    at: list[dict[int, int]]
    paths: list[list[list[int]]]
    layout: Layout
    hidden: Tensor
    recorder: Recorder


@torch.no_grad()
def prefill(backbone: Backbone, trees: Sequence[Tree], leaves: Sequence[Sequence[int]]) -> Prefill:
    """Runs the trees. `leaves`: for each, the nodes that may be continued later; what leads to none of them is left out."""
    with _evaluating(backbone):
        pruned, at = map(list, zip(*(_prune(tree, wanted) for tree, wanted in zip(trees, leaves, strict=True)), strict=True))
        layout, hidden, placed, kind = backbone.start(pruned)
        recorder = Recorder()
        hidden, _ = forward.run_blocks(backbone.adapter, layout, hidden, placed, kind, (), record=recorder.wrap)
    return Prefill(at, [[tree.path(node) for node in range(len(tree.nodes))] for tree in pruned], layout, hidden, recorder)


@torch.no_grad()
def resume(
    backbone: Backbone,
    run: Prefill,
    which: Sequence[int],
    leaves: Sequence[Sequence[int]],
    *,
    num_generations: int,
    max_new_tokens: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: Seed,
) -> list[list[list[Completion]]]:
    """Samples completions of trees that were run already; the result is that of `generate`.

    Args:
        backbone: with the weights of the run.
        run: what `prefill` returned.
        which: numbers of the run's trees that are continued.
        leaves: for each of these, nodes that `prefill` was told of, numbered as there.
        num_generations: completions a leaf.
        max_new_tokens: longest completion.
        temperature: 0 = greedy.
        top_p: as in `generate`.
        seed: as in `generate`.
    """
    with _evaluating(backbone):
        sampler = _Sampler(backbone, temperature, top_p, seed, num_generations, max_new_tokens)
        at = [[run.at[b][leaf] for leaf in own] for b, own in zip(which, leaves, strict=True)]
        state, logits, position = _begin(backbone, run, which, at, num_generations)
        *_, (tokens, logps) = _decode(backbone, state, sampler, logits, position, max_new_tokens)
    return _collect(backbone, tokens.cpu().numpy(), logps.cpu().numpy(), sampler.stops, leaves, num_generations)


@torch.no_grad()
def stream(backbone: Backbone, tree: Tree, leaves: Sequence[int], *, max_new_tokens: int) -> Iterator[list[Completion]]:
    """The greedy completions of one tree's leaves while they are made; closing the iterator stops the work.

    Args:
        backbone: in evaluation mode from the first item to the last.
        tree: one video.
        leaves: the nodes to continue.
        max_new_tokens: longest completion.

    Yields:
        After each token, a completion a leaf so far; the last are those of `generate` with one generation at temperature 0.
    """
    run = prefill(backbone, [tree], [leaves])
    with _evaluating(backbone):
        sampler = _Sampler(backbone, 0.0, 1.0, 0, 1, max_new_tokens)
        state, logits, position = _begin(backbone, run, [0], [[run.at[0][leaf] for leaf in leaves]], 1)
        for tokens, logps in _decode(backbone, state, sampler, logits, position, max_new_tokens):
            [drawn] = _collect(backbone, tokens.cpu().numpy(), logps.cpu().numpy(), sampler.stops, [leaves], 1)
            yield [completion for [completion] in drawn]


@contextmanager
def _evaluating(backbone: Backbone) -> Iterator[None]:
    training = backbone.training
    backbone.eval()
    try:
        yield
    finally:
        backbone.train(training)


def stop_ids(backbone: Backbone) -> list[int]:
    """Tokens that end a completion: the checkpoint's own and the tokenizer's end of turn."""
    configured = backbone.adapter.model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({i for i in [*ids, backbone.tokenizer.eos_token_id] if i is not None})


class _Sampler:
    """Draws tokens; media tokens are never drawn, because a completion that holds one cannot be read again."""

    def __init__(self, backbone: Backbone, temperature: float, top_p: float, seed: Seed, copies: int, max_new_tokens: int):
        self.temperature, self.top_p = temperature, top_p
        self.generator = torch.Generator(backbone.device)
        self.uniform: Tensor | None = None
        if isinstance(seed, int):
            self.generator.manual_seed(seed)
        else:
            self.uniform = torch.from_numpy(_uniform(seed, copies, max_new_tokens)).to(backbone.device)
        self.media = torch.tensor(backbone.adapter.media_ids, device=backbone.device)
        self.stops = torch.tensor(stop_ids(backbone), device=backbone.device)

    def __call__(self, logits: Tensor, who: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Logits (N, V) of the completions `who` (N,) -> their tokens (N,) number `step` and the untouched log-probabilities (N,)."""
        logps = logits.float().log_softmax(-1)
        allowed = logits.float().index_fill(1, self.media, float("-inf"))
        if self.temperature == 0:
            tokens = allowed.argmax(-1)
        else:
            tokens = self._draw(self._nucleus((allowed / self.temperature).softmax(-1)), who, step)
        return tokens, logps.gather(1, tokens[:, None]).squeeze(1)

    def _draw(self, probabilities: Tensor, who: Tensor, step: int) -> Tensor:
        if self.uniform is None:
            return torch.multinomial(probabilities, 1, generator=self.generator).squeeze(1)
        cumulative = probabilities.double().cumsum(-1)  # (N, V)
        total = cumulative[:, -1]
        level = torch.minimum(self.uniform[who, step] * total, torch.nextafter(total, torch.zeros_like(total)))
        return torch.searchsorted(cumulative, level[:, None], right=True).squeeze(1)  # the first token that reaches above the level

    def _nucleus(self, probabilities: Tensor) -> Tensor:
        if self.top_p >= 1:
            return probabilities
        ordered, index = probabilities.sort(-1, descending=True)
        ordered[ordered.cumsum(-1) - ordered >= self.top_p] = 0  # keep every token before which less than top_p was collected
        return torch.zeros_like(probabilities).scatter_(1, index, ordered)


def _uniform(seeds: Sequence[Sequence[int]], copies: int, max_new_tokens: int) -> np.ndarray:
    """(N, max_new_tokens) float64 in [0, 1): a number for each token of each completion, from its leaf's own stream."""
    width = max(map(len, seeds))
    uniform = np.zeros((len(seeds), width, copies, max_new_tokens))
    for b, own in enumerate(seeds):
        for i, seed in enumerate(own):
            uniform[b, i] = np.random.default_rng(seed).random((copies, max_new_tokens))
    return uniform.reshape(-1, max_new_tokens)


def _prune(tree: Tree, leaves: Sequence[int]) -> tuple[Tree, dict[int, int]]:
    """Only what leads to the leaves, at full depth and without targets; and the new index of each node kept."""
    kept = sorted({node for leaf in leaves for node in tree.path(leaf)})
    new = {old: i for i, old in enumerate(kept)}
    plain = {"labels": None, "depth": None, "dropout": 0.0, "tap": False, "distribution": False}
    nodes = [replace(tree.nodes[i], parent=new.get(tree.nodes[i].parent, -1), **plain) for i in kept]
    return Tree(nodes, tree.frames, tree.t_s, tree.patches, tree.sample_id, tree.memory), new


def _begin(backbone: Backbone, run: Prefill, which: Sequence[int], leaves: Sequence[Sequence[int]], copies: int) -> tuple[Decode, Tensor, Tensor]:
    """The decoding state of some leaves, logits (N, V) after each, next positions (N,)."""
    tokens, visible = _prefix(run, which, leaves)
    last = _last_tokens(run.layout, which, leaves, visible.shape[1])  # (B, leaves)
    rows = run.hidden.flatten(0, 1)[torch.from_numpy(last).to(run.hidden.device).flatten()]
    logits = backbone.adapter.model.get_output_embeddings()(backbone.adapter.decoder.norm(rows))
    after = torch.from_numpy(run.layout.positions.reshape(3, -1)[:, last].max(0) + 1).to(run.hidden.device)
    state = Decode(run.recorder, torch.from_numpy(tokens), torch.from_numpy(visible).repeat_interleave(copies, 1), run.hidden.dtype)
    alive = torch.from_numpy(np.asarray([[i < len(own) for i in range(visible.shape[1])] for own in leaves]))
    state.alive = alive.repeat_interleave(copies, 1).flatten().to(run.hidden.device)
    return state, logits.repeat_interleave(copies, 0), after.flatten().repeat_interleave(copies)


def _prefix(run: Prefill, which: Sequence[int], leaves: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Each tree's tokens as flat indices (B, P), and which of them each leaf sees (B, leaves, P)."""
    stage = run.layout.stages[0]
    width = max(int(stage.length[run.layout.slot_of[number]].sum()) for number in which)
    tokens = np.zeros((len(which), width), dtype=np.int64)
    visible = np.zeros((len(which), max(map(len, leaves)), width), dtype=bool)
    for b, (number, own) in enumerate(zip(which, leaves, strict=True)):
        slots = run.layout.slot_of[number]
        flat = runs(stage.start[slots], stage.length[slots])
        owner = np.repeat(np.arange(len(slots)), stage.length[slots])
        tokens[b, : len(flat)] = flat
        for i, leaf in enumerate(own):
            visible[b, i, : len(flat)] = np.isin(owner, run.paths[number][leaf])
        visible[b, len(own) :, 0] = True  # padding must see something
    return tokens, visible


def _last_tokens(layout: Layout, which: Sequence[int], leaves: Sequence[Sequence[int]], width: int) -> np.ndarray:
    stage = layout.stages[0]
    last = np.zeros((len(leaves), width), dtype=np.int64)
    for b, (number, own) in enumerate(zip(which, leaves, strict=True)):
        slots = layout.slot_of[number][list(own)]
        last[b, : len(own)] = stage.start[slots] + stage.length[slots] - 1
    return last


def _decode(backbone: Backbone, state: Decode, sampler: _Sampler, logits: Tensor, position: Tensor, max_new_tokens: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Steps all completions; after each step, tokens (N, L) padded with -1 and log-probabilities (N, L): the same two tensors, filled further."""
    adapter, total = backbone.adapter, len(logits)
    table, head = adapter.decoder.get_input_embeddings(), adapter.model.get_output_embeddings()
    tokens = torch.full((total, max_new_tokens), -1, device=logits.device)
    logps = torch.zeros((total, max_new_tokens), device=logits.device)
    who = torch.arange(total, device=logits.device)  # completion of each row that still steps
    for step in range(max_new_tokens):
        drawn, drawn_logps = sampler(logits, who, step)
        alive = state.alive
        tokens[who[alive], step], logps[who[alive], step] = drawn[alive], drawn_logps[alive]
        state.alive = alive & ~torch.isin(drawn, sampler.stops)
        yield tokens, logps
        if step + 1 == max_new_tokens or not state.alive.any():
            break
        kept = state.compact()
        if kept is not None:
            who, position, drawn = who[kept], position[kept], drawn[kept]
        hidden = table(drawn)[:, None]  # (N, 1, D)
        rotary = adapter.rotary(hidden, (position + step).expand(3, -1)[..., None])
        for layer in adapter.decoder.layers:
            hidden = layer(hidden, attention_mask=None, position_embeddings=rotary, tree=state)
        logits = head(adapter.decoder.norm(hidden)[:, 0])


def _collect(
    backbone: Backbone, tokens: np.ndarray, logps: np.ndarray, stops: Tensor, leaves: Sequence[Sequence[int]], copies: int
) -> list[list[list[Completion]]]:
    width = max(map(len, leaves))
    ends = set(stops.tolist())

    def read(row: int) -> Completion:
        ids = tokens[row][tokens[row] >= 0]
        text = backbone.tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(ids, logps[row, : len(ids)], text, bool(len(ids)) and int(ids[-1]) in ends)

    return [[[read((b * width + i) * copies + g) for g in range(copies)] for i in range(len(own))] for b, own in enumerate(leaves)]
