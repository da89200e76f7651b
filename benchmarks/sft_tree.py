"""An SFT step of 7 questions a clip: one tree a clip against one row a question with its own vision pass."""

from collections.abc import Callable

import torch
from tree_common import adamw, arguments, clips, medians, pair, report

from videoperceiver.models import TreeBuilder

QUESTIONS = [(f"what colour flash {word}", f"{word} one") for word in ("red", "green", "blue", "one", "two", "three", "many")]
GOAL = 3.5


def main() -> None:
    """Measure and report."""
    quick = arguments(__doc__).quick
    models, videos = pair(), clips(4 if quick else 8)
    rows = models.rows(videos, QUESTIONS)
    trees = []
    for clip in videos:
        builder = TreeBuilder(models.backbone, clip)
        video = builder.video()
        for question, answer in QUESTIONS:
            builder.answer(builder.question(video, question), answer)
        trees.append(builder.tree())
    losses: dict[str, float] = {}

    def step(name: str, optimizer: torch.optim.Optimizer, loss_of: Callable[[], torch.Tensor]) -> None:
        loss = loss_of()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.setdefault(name, loss.item())  # of the first step, before the weights part

    ours, theirs = adamw(models.backbone), adamw(models.plain)
    tree_s, row_s = medians(
        lambda: step("tree", ours, lambda: -models.backbone(trees).logps.mean()),
        lambda: step("rows", theirs, lambda: models.plain(**rows).loss),
    )
    assert abs(losses["tree"] - losses["rows"]) < 1e-4, losses
    detail = {
        "tree_ms": round(1e3 * tree_s),
        "rows_ms": round(1e3 * row_s),
        "clips": len(videos),
        "video_tokens": models.backbone.adapter.tokens_per_patch(32, 32) * 8,
        "tree_tokens": trees[0].num_tokens,
        "answer_tokens": 3,
        "row_tokens": rows["input_ids"].shape[1],
        "parameters": models.parameters,
        "loss": [round(losses["tree"], 5), round(losses["rows"], 5)],
        "torch": torch.__version__,
    }
    report("sft_tree", row_s / tree_s, GOAL, detail)


if __name__ == "__main__":
    main()
