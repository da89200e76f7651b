"""Operations of the true Qwen2.5-VL 7B and 3B: 2,880 video tokens, G = 8, 256-token completions; shared against one row each."""

from tree_common import arguments, report

from videoperceiver.models import flops
from videoperceiver.models.published import config_of, on_meta

HEADER, VIDEO, QUESTION, COMPLETION, NUM_GENERATIONS = 16, 2880, 48, 256, 8
GRID, PATCHES = (24, 40), 12  # 336 x 560 px, 24 frames
NUM_QUESTIONS, ANSWER, GOAL = 10, 16, 4.0
PREFIX = HEADER + VIDEO


def compare(hub_id: str) -> dict:
    """Teraoperations (shared, unshared, ratio) of each use."""
    config = config_of(hub_id)
    where = {"grid": GRID, "patches": PATCHES}
    group = [(PREFIX, -1), (QUESTION, 0)]
    update = flops.tree(config, [*group, *[(COMPLETION, 1)] * NUM_GENERATIONS], scored=NUM_GENERATIONS * COMPLETION, **where)
    row = flops.tree(config, [*group, (COMPLETION, 1)], scored=COMPLETION, **where)
    ways = {
        "rollout": (
            flops.rollout(config, group, [1], copies=NUM_GENERATIONS, new_tokens=COMPLETION, **where).forward,
            NUM_GENERATIONS * flops.rollout(config, group, [1], copies=1, new_tokens=COMPLETION, **where).forward,
        ),
        "update": (update.step(checkpointing=True), NUM_GENERATIONS * row.step(checkpointing=True)),
        "update_full_fine_tuning": (update.step(train_vision=True), NUM_GENERATIONS * row.step(train_vision=True)),
        "evaluation_of_10_questions": (
            flops.rollout(
                config,
                [(PREFIX, -1), *[(QUESTION, 0)] * NUM_QUESTIONS],
                range(1, NUM_QUESTIONS + 1),
                copies=1,
                new_tokens=ANSWER,
                **where,
            ).forward,
            NUM_QUESTIONS * flops.rollout(config, group, [1], copies=1, new_tokens=ANSWER, **where).forward,
        ),
    }
    counts = {
        name: {"shared": round(ours / 1e12, 1), "unshared": round(theirs / 1e12, 1), "ratio": round(theirs / ours, 2)} for name, (ours, theirs) in ways.items()
    }
    return counts | {"parameters": sum(weight.numel() for weight in on_meta(config).parameters())}


def main() -> None:
    """Count and report; --quick changes nothing."""
    arguments(__doc__)
    detail = {name: compare(f"Qwen/Qwen2.5-VL-{name}-Instruct") for name in ("7B", "3B")}
    report(
        "flops_7b",
        min(size["update"]["ratio"] for size in detail.values()),
        GOAL,
        detail | {"video_tokens": VIDEO, "num_generations": NUM_GENERATIONS, "completion_tokens": COMPLETION},
    )


if __name__ == "__main__":
    main()
