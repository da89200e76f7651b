"""A GRPO update, G = 8: the group's completions branch off one prompt, against one row a completion with its own vision pass."""

from collections.abc import Callable

import torch
from tree_common import adamw, arguments, clips, medians, pair, report

from videoperceiver.models import TreeBuilder

QUESTION = "what colour is the flash ?"
ANSWERS = ["red one", "green two", "blue one", "red three", "one red", "two two", "many one", "red two"]
GOAL = 4.0


def surrogate(logps: torch.Tensor, advantages: torch.Tensor) -> torch.Tensor:
    """Clipped surrogate of a first update (old_logps are the policy's own)."""
    ratio = (logps - logps.detach()).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()


def row_logps(model: torch.nn.Module, rows: dict) -> torch.Tensor:
    """Log-probabilities at the labels of padded rows, row after row."""
    labels = rows["labels"][:, 1:]
    logits = model(**{key: value for key, value in rows.items() if key != "labels"}).logits[:, :-1]
    wanted = labels >= 0
    return logits[wanted].log_softmax(-1).gather(1, labels[wanted][:, None]).squeeze(1)


def main() -> None:
    """Measure and report."""
    quick = arguments(__doc__).quick
    models, videos = pair(), clips(4 if quick else 8)
    rows = models.rows(videos, [(QUESTION, answer) for answer in ANSWERS])
    trees = []
    for clip in videos:
        builder = TreeBuilder(models.backbone, clip)
        asked = builder.question(builder.video(), QUESTION)
        for answer in ANSWERS:
            builder.answer(asked, answer)
        trees.append(builder.tree())
    with torch.no_grad():
        torch.testing.assert_close(models.backbone(trees).logps, row_logps(models.plain, rows), rtol=1e-4, atol=1e-4)
    advantages = torch.randn(len(videos) * len(ANSWERS)).repeat_interleave(3)  # two words and the end of turn

    def step(optimizer: torch.optim.Optimizer, logps_of: Callable[[], torch.Tensor]) -> None:
        surrogate(logps_of(), advantages).backward()
        optimizer.step()
        optimizer.zero_grad()

    ours, theirs = adamw(models.backbone), adamw(models.plain)
    tree_s, row_s = medians(
        lambda: step(ours, lambda: models.backbone(trees).logps),
        lambda: step(theirs, lambda: row_logps(models.plain, rows)),
    )
    detail = {
        "tree_ms": round(1e3 * tree_s),
        "rows_ms": round(1e3 * row_s),
        "clips": len(videos),
        "num_generations": len(ANSWERS),
        "completion_tokens": 3,
        "tree_tokens": trees[0].num_tokens,
        "row_tokens": rows["input_ids"].shape[1],
        "parameters": models.parameters,
    }
    report("grpo_tree", row_s / tree_s, GOAL, detail)


if __name__ == "__main__":
    main()
