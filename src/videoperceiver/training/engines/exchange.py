"""What a tree's leaves are to an engine of another kind, the same tokens, pixels, times and positions; and its answer as completions."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from videoperceiver.errors import EngineError
from videoperceiver.models.adapters.qwen_vision import QwenVision
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import Completion, Seed, stop_ids
from videoperceiver.models.tree import Tree
from videoperceiver.training.engines.protocol import Drawn, check_completions
from videoperceiver.training.engines.wire import Prompt, SampleReply, SampleRequest, Sampling, Video


def sample_request(
    backbone: Backbone,
    trees: Sequence[Tree],
    leaves: Sequence[Sequence[int]],
    *,
    num_generations: int,
    max_new_tokens: int,
    temperature: float,
    top_p: float,
    seed: Seed,
    version: int,
) -> SampleRequest:
    """Everything an engine needs to continue the leaves. V and V' of a clip are two videos; questions of one video share its frames."""
    videos: dict[str, int] = {}
    shown: list[Video] = []
    prompts: list[Prompt] = []
    for b, (tree, own) in enumerate(zip(trees, leaves, strict=True)):
        known: dict[tuple[int, ...], int] = {}
        for i, leaf in enumerate(own):
            nodes = [tree.nodes[n] for n in tree.path(leaf)]
            patches = tuple(p for node in nodes if node.patches is not None for p in node.patches.tolist())
            if patches not in known:
                video = video_of(backbone, tree, patches)
                known[patches] = videos.setdefault(video.key, len(videos))
                if known[patches] == len(shown):
                    shown.append(video)
            after_video = 1 + max(n for n, node in enumerate(nodes) if node.patches is not None)
            asked = np.concatenate([node.input_ids for node in nodes[after_video:]])
            spelled = np.concatenate([node.input_ids for node in nodes])
            positions = np.concatenate([np.asarray(node.positions) for node in nodes], axis=1)
            ids = np.concatenate([backbone.encode_text(backbone.prompt.opening), asked])
            prompts.append(Prompt(known[patches], ids, spelled, positions, _seed_of(seed, b, i)))
    sampling = Sampling(num_generations, max_new_tokens, temperature, top_p, [int(i) for i in backbone.adapter.media_ids], stop_ids(backbone))
    return SampleRequest(shown, prompts, sampling, version)


def _seed_of(seed: Seed, tree: int, leaf: int) -> int:
    """32 bits, which is what every engine takes."""
    entropy = [seed, tree, leaf] if isinstance(seed, int) else [seed[tree][leaf]]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def video_of(backbone: Backbone, tree: Tree, patches: Sequence[int]) -> Video:
    """The video that a path of a tree shows: its patches' frames, at the times of the clip."""
    adapter = backbone.adapter
    if not isinstance(adapter, QwenVision):
        raise EngineError("vllm", f"got a {type(adapter).__name__}, expected a Qwen2.5-VL or Qwen3-VL; use engine.kind=tree for this family")
    per = adapter.frames_per_patch
    frames = tree.frames[np.asarray([tree.patches[p] for p in patches]).reshape(-1)]
    t_s = np.concatenate([tree.t_s, np.repeat(tree.t_s[-1:], -len(tree.t_s) % per)]).reshape(-1, per)  # the last frame fills the last patch
    grid = (len(patches), *adapter.grid(*frames.shape[1:3]))
    told = adapter.told_times(t_s)
    metadata = {**told, "total_num_frames": len(frames), "video_backend": "videoperceiver", "do_sample_frames": False}
    digest = hashlib.sha256(np.ascontiguousarray(frames).tobytes() + json.dumps([frames.shape, metadata]).encode())
    return Video(frames, metadata, grid, adapter.second_per_grid(t_s), digest.hexdigest())


def read_reply(backbone: Backbone, reply: SampleReply, leaves: Sequence[Sequence[int]], num_generations: int, max_new_tokens: int, engine: str) -> Drawn:
    """An engine's answer as checked completions by tree, leaf and generation.

    Raises:
        EngineError: too few or too many, or one that is no completion.
    """
    expected = sum(map(len, leaves))
    counts = {len(drawn) for drawn in reply.completions}
    if len(reply.completions) != expected or counts - {num_generations}:
        raise EngineError(
            engine, f"got {len(reply.completions)} prompts with {sorted(counts)} completions each, expected {expected} with {num_generations}; look at its log"
        )
    stops, media = stop_ids(backbone), backbone.adapter.media_ids
    read = []
    for pairs in reply.completions:
        drawn = [_completion(backbone, ids, logps, stops) for ids, logps in pairs]
        check_completions(drawn, media, stops, max_new_tokens, backbone.adapter.model.config.get_text_config().vocab_size, engine)
        read.append(drawn)
    rest = iter(read)
    return [[next(rest) for _ in own] for own in leaves]


def _completion(backbone: Backbone, ids: np.ndarray, logps: np.ndarray, stops: Sequence[int]) -> Completion:
    text = backbone.tokenizer.decode(ids, skip_special_tokens=True)
    return Completion(ids, logps, text, bool(len(ids)) and int(ids[-1]) in stops)
