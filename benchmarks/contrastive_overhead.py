"""A stage-1 step with the three contrastive terms against the plain step of the same batch: 6 questions and a caption a clip, on the tiny model.

Both grow their trees and run `sft_loss`, backward and AdamW. The event (2 of 16 frames) lies anywhere in the clip, and V' shares what comes before it.
`holds` is about this ratio. The detail adds the same with a second view without gradient, and the operations of the true Qwen2.5-VL-7B at 1 fps, 30 s,
block 16 of 28, averaged over where the event lies (anywhere, the first patch included), each with its own goal (1.6; 1.35 with a second view without gradient)
and whether it holds. Of block 16 what leaves makes only keys and values, but for the token that is read. `language_alone` are the same shares with features
from a cache: no vision at all, the least favourable case.
"""

from statistics import fmean

import numpy as np
import torch
from tree_common import adamw, arguments, clips, medians, pair, report

from videoperceiver.data.collate import SftTree, sft_tree
from videoperceiver.models import flops
from videoperceiver.models.published import config_of
from videoperceiver.stages import ContrastiveConfig, SftConfig
from videoperceiver.training.sft import sft_layout
from videoperceiver.training.sft_loss import sft_loss
from videoperceiver.types import Clip, Degradation, Question, Sample

GOAL, GOAL_FLOPS, GOAL_FLOPS_STOPPED = 1.4, 1.6, 1.35
ANSWERS = ("red", "green", "blue", "one", "two", "three")
QUESTION, ANSWER, CAPTION_PROMPT, CAPTION, KEYWORDS, HEADER = 48, 16, 24, 96, 12, 16
"""Tokens of the 7B count."""
GRID, PATCHES, TOKENS = (24, 40), 15, 240  # 336 x 560 px, 30 frames


def samples(videos: list[Clip]) -> list[Sample]:
    """Noise with six questions, a caption, keywords, and a V' that holds two frames of its own place."""
    rng = np.random.default_rng(1)
    asked = tuple(Question(word, f"what colour is the flash {word} ?", word, "word", "flash", ANSWERS) for word in ANSWERS)
    made = []
    for i, clip in enumerate(videos):
        first = int(rng.integers(1, len(clip) - 2))
        twin = Degradation("hold", tuple(first - 1 if frame in (first, first + 1) else frame for frame in range(len(clip))))
        words = {"caption": "red flash one ; green flash two times", "keywords": ("flash", ANSWERS[i % 6], ANSWERS[i // 6])}
        made.append(Sample(clip.source, "noise.mp4", "", "train", "noise", tuple(clip.t_s.tolist()), questions=asked, degradation=twin, **words))
    return made


def measure(quick: bool) -> tuple[float, dict]:
    """Ratio of the contrastive step, and the rest of what was timed."""
    models, videos = pair(hidden_size=128), clips(8 if quick else 16)
    backbone, listed = models.backbone, samples(videos)
    shared = {"train": ["noise"], "output": "none", "instruction_share": 0.0, "caption_prompt": "what is the flash ?"}
    settings = {"tap_blocks": [2]}
    configs = {
        "plain": SftConfig(contrastive=ContrastiveConfig(weight=0.0, tap_blocks=[2]), **shared),
        "contrastive": SftConfig(contrastive=ContrastiveConfig(**settings), **shared),
        "view_without_gradient": SftConfig(contrastive=ContrastiveConfig(view_gradient=False, **settings), **shared),
    }
    optimizer = adamw(backbone)
    tokens: dict[str, int] = {}

    def step(name: str) -> None:
        config = configs[name]
        rng = np.random.default_rng(0)
        grown: list[SftTree] = [sft_tree(backbone, sample, clip, sft_layout(config), rng) for sample, clip in zip(listed, videos, strict=True)]
        output = backbone([g.tree for g in grown], (2,) if config.contrastive.weight > 0 else ())
        loss, _ = sft_loss(grown, output, config)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        tokens[name] = sum(g.tree.num_tokens for g in grown)

    seconds = dict(zip(configs, medians(*(lambda name=name: step(name) for name in configs), repeats=15), strict=True))
    detail = {f"{name}_ms": round(1e3 * value) for name, value in seconds.items()}
    detail |= {f"{name}_tokens": value for name, value in tokens.items()}
    detail |= {
        "ratio_view_without_gradient": round(seconds["view_without_gradient"] / seconds["plain"], 3),
        "clips": len(videos),
        "parameters": models.parameters,
    }
    return seconds["contrastive"] / seconds["plain"], detail


def count(*, train_vision: bool = False, checkpointing: bool = False, cached: bool = False) -> dict:
    """The 7B's step with the terms as multiples of the plain one, mean over the place of the first changed patch. With `cached` features no tower runs."""
    config = config_of("Qwen/Qwen2.5-VL-7B-Instruct")
    how = {"train_vision": train_vision, "checkpointing": checkpointing}
    branches = [(QUESTION, ANSWER)] * 6 + [(CAPTION_PROMPT, CAPTION)]
    scored = sum(answer for _, answer in branches)
    twin, view, view_stopped = [], [], []
    for first in range(PATCHES):
        before, after = HEADER + first * TOKENS, (PATCHES - first) * TOKENS + 1
        runs = [(before, -1), (after, 0)]
        for asked, answer in branches:
            runs += [(asked, 1), (answer, len(runs))]
        patches = (0, 0) if cached else (PATCHES, PATCHES + 1)
        plain = flops.tree(config, runs, grid=GRID, patches=patches[0], scored=scored).step(**how)
        depths = [None] * len(runs) + [16, 16]
        contrasted = flops.tree(config, [*runs, (after, 0), (KEYWORDS, -1)], grid=GRID, patches=patches[1], scored=scored, depths=depths).step(**how)
        alone = flops.language_by_node(config, [(before + after, -1)], [16], 0)
        twin.append(contrasted / plain - 1)
        view.append(alone.step(checkpointing=checkpointing) / plain)
        view_stopped.append(alone.forward / plain)
    shares = {"twin_and_keywords": fmean(twin), "view": fmean(view), "view_without_gradient": fmean(view_stopped)}
    whole, stopped = 1 + shares["twin_and_keywords"] + shares["view"], 1 + shares["twin_and_keywords"] + shares["view_without_gradient"]
    split = {f"plus_{name}": round(share, 3) for name, share in shares.items()}
    holds = {"holds_at_most_1.6": whole <= GOAL_FLOPS, "holds_at_most_1.35": stopped <= GOAL_FLOPS_STOPPED}
    return {"both_views": round(whole, 3), "stopped_view": round(stopped, 3), **split, **holds}


def main() -> None:
    """Measure, count and report."""
    quick = arguments(__doc__).quick
    ratio, detail = measure(quick)
    detail["flops_7b"] = {
        f"tower_{'trained' if trained else 'frozen'}{'_checkpointing' if again else ''}": count(train_vision=trained, checkpointing=again)
        for trained in (True, False)
        for again in (False, True)
    } | {"language_alone": count(cached=True)}
    report("contrastive_overhead", ratio, GOAL, detail | {"torch": torch.__version__}, at_most=True)


if __name__ == "__main__":
    main()
