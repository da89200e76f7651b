"""A comparative step costs at most 1.5x our own standard GRPO step with the same G on V: V' rollouts, comparator and refeed are the extra.

Standard GRPO asks nothing on V'. Q is scripted: right with .66 on V and .45 on V', which makes a third of the completions be drawn again, as in the runs of
the tiny recipe (.34 to .38 over three seeds). Also told: the overhead without refeed, and with the expected comparator.
"""

from grpo_common import GROUP, Script, Store, trainer
from tree_common import arguments, medians, pair, report

GOAL, NEW_TOKENS = 1.5, 16
WAYS = {
    "standard": ["reward.objective=grpo", "reward.comparator=none"],
    "comparative": ["sampling.max_refeed=2"],
    "without_refeed": ["sampling.max_refeed=0"],
    "expected": ["sampling.max_refeed=0", "reward.comparator=expected"],
}


def main() -> None:
    """Measure and report."""
    quick = arguments(__doc__.splitlines()[0]).quick
    store, models = Store(2 if quick else 4), pair()
    fields = [f"sampling.num_generations={GROUP}", f"sampling.max_new_tokens={NEW_TOKENS}", "sampling.instruction=what colour ?", "sampling.stream=question"]
    fields.append("optim.lr=1e-6")
    made = {name: trainer(models, store, *fields, *own, quality=Script(0.66, 0.45)) for name, own in WAYS.items()}
    logged: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}

    def step(name: str) -> None:
        logged[name].append(made[name].step(len(logged[name]))[0])

    seconds = dict(zip(WAYS, medians(*(lambda name=name: step(name) for name in WAYS), repeats=3 if quick else 5), strict=True))
    ratios = {f"{name}_ratio": round(seconds[name] / seconds["standard"], 3) for name in WAYS if name != "standard"}
    rows = logged["comparative"]
    detail = {
        **{f"{name}_ms": round(1e3 * taken) for name, taken in seconds.items()},
        **ratios,
        "refeed_rate": round(sum(row["refeed_rate"] for row in rows) / len(rows), 3),
        "clips": store.count,
        "num_generations": GROUP,
        "completion_tokens": NEW_TOKENS,
        "parameters": models.parameters,
    }
    report("comparative_overhead", seconds["comparative"] / seconds["standard"], GOAL, detail, at_most=True)


if __name__ == "__main__":
    main()
