"""How sharing grows: a GRPO update at 1k, 4k and 16k video tokens and G = 4, 8, 16, beside the bound that operations set.

The unshared way is one row a completion; its rows are run one after another, so one row is timed and multiplied by G. Prints a
table, and with `--plot FILE` draws it.
"""

import argparse
import random

from tree_common import Pair, clips, medians, pair, report

from videoperceiver.models import TreeBuilder, flops
from videoperceiver.types import Clip

SIDES_PX = {1024: 64, 4096: 128, 16384: 256}
"""Frame size for each number of video tokens: always 64 temporal patches."""
GROUPS, COMPLETION, QUESTION, GOAL = (4, 8, 16), 64, 16, 0.7
WORDS = ["red", "green", "blue", "one"]


def words(count: int, seed: int) -> str:
    """Noise of so many words."""
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def shared_step(models: Pair, clip: Clip, group: int) -> None:
    """Forward and backward of one tree."""
    builder = TreeBuilder(models.backbone, clip)
    asked = builder.question(builder.video(), words(QUESTION, 0))
    for i in range(group):
        builder.answer(asked, words(COMPLETION - 1, i))
    models.backbone([builder.tree()]).logps.sum().backward()
    models.backbone.zero_grad()


def row_step(models: Pair, row: dict) -> None:
    """Forward and backward of one completion through transformers."""
    models.plain(**row).loss.backward()
    models.plain.zero_grad()


def bound(models: Pair, video: int, side: int, group: int) -> float:
    """Operations of G rows over those of one tree."""
    config, where = models.plain.config, {"grid": (side // 8, side // 8), "patches": 64}
    prefix = [(video + 4, -1), (QUESTION + 3, 0)]
    row = flops.tree(config, [*prefix, (COMPLETION, 1)], scored=COMPLETION, **where).step(train_vision=True)
    return group * row / flops.tree(config, [*prefix, *[(COMPLETION, 1)] * group], scored=group * COMPLETION, **where).step(train_vision=True)


def measure(models: Pair, video: int, groups: tuple[int, ...], repeats: int, *, warm: bool = False) -> list[dict]:
    """One line of the table for each group size."""
    side = SIDES_PX[video]
    (clip,) = clips(1, frames=128, side_px=side)
    row = models.rows([clip], [(words(QUESTION, 0), words(COMPLETION - 1, 1))])
    ways = [lambda group=group: shared_step(models, clip, group) for group in groups]
    row_s, *shared = medians(lambda: row_step(models, row), *ways, repeats=repeats, warm=warm)
    lines = []
    for group, taken in zip(groups, shared, strict=True):
        most = bound(models, video, side, group)
        ratio = group * row_s / taken
        lines.append(
            {"video_tokens": video, "G": group, "tree_s": round(taken, 2), "rows_s": round(group * row_s, 2), "ratio": round(ratio, 2), "bound": round(most, 2)}
        )
        print(" ".join(f"{key}={value}" for key, value in lines[-1].items()), f"share={ratio / most:.2f}", flush=True)
    return lines


def plot(lines: list[dict], path: str) -> None:
    """Measured ratio (points) on the bound (lines), by video tokens."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.2, 3.2))
    for group in sorted({line["G"] for line in lines}):
        own = [line for line in lines if line["G"] == group]
        (drawn,) = axis.plot([line["video_tokens"] for line in own], [line["bound"] for line in own], "--", label=f"G = {group}")
        axis.plot([line["video_tokens"] for line in own], [line["ratio"] for line in own], "o", color=drawn.get_color())
    axis.set_xscale("log", base=2)
    axis.set(xlabel="video tokens", ylabel="times faster than one row a completion", title="points measured, lines the operations' bound")
    axis.legend()
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under 50 s: 1k tokens and G = 8")
    parser.add_argument("--video-tokens", type=int, nargs="+", default=list(SIDES_PX), choices=list(SIDES_PX))
    parser.add_argument("--plot", help="SVG file to draw")
    options = parser.parse_args()
    models = pair()
    if options.quick:
        lines = measure(models, 1024, (8,), 2)
    else:
        lines = []
        for video in options.video_tokens:  # at 16k a step takes minutes: measured once, and the kernels are warm by then
            lines += measure(models, video, GROUPS, 1 if video > 4096 else 5, warm=video > 4096)
    if options.plot:
        plot(lines, options.plot)
    share = min(line["ratio"] / line["bound"] for line in lines)
    report("tree_growth", share, GOAL, {"completion_tokens": COMPLETION, "parameters": models.parameters, "cells": lines})


if __name__ == "__main__":
    main()
