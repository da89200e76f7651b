"""What the scalars of metrics.jsonl are called on a page, and in which order they are drawn."""

from collections.abc import Mapping

from videoperceiver.pages.figures import CurvePanel, Rows

SCALARS = {
    "loss": "loss",
    "ce": "cross-entropy of the answers",
    "contrastive": "contrastive loss",
    "vv": "video to its second view (eq. 4)",
    "tv": "keywords to video (eq. 5)",
    "vt": "video to keywords (eq. 6)",
    "text_prefers_v": "keywords nearer to V than to V′",
    "t2v_r1": "keywords find their video",
    "cos_v_degraded": "cosine of V and V′",
    "uniform": "uniform on V′",
    "joint": "product of experts",
    "q": "Q on V",
    "q_degraded": "Q on V′",
    "comparative": "comparative reward R (eq. 8)",
    "baseline": "its moving baseline b (eq. 9)",
    "both_right": "right on V and on V′",
    "both_wrong": "wrong on V and on V′",
    "refeed_rate": "answers asked for again",
    "refeed_gain": "Q gained by asking again",
    "no_signal": "groups without signal",
    "unscored": "answers that cannot be scored",
    "base_reward": "base reward",
    "kl": "KL to the reference",
    "clip_fraction": "clipped ratios",
    "entropy": "entropy",
    "length": "tokens an answer",
    "ratio": "policy over what sampled",
    "mismatch": "nats between engine and trainer",
    "kept": "completions that are trained on",
    "skipped": "groups left out",
    "skipped_steps": "steps left out so far",
    "redrawn": "groups drawn anew",
    "failed_rewards": "rewards that failed",
    "without_twin": "prompts without V′",
    "vneg": "right answers on V′ pushed down",
    "capped_kl": "capped KL of V and V′",
    "accuracy_full": "accuracy on V",
    "accuracy_degraded": "accuracy on V′",
    "accuracy_static": "accuracy on static questions",
    "margin_degraded": "how much nearer V is than V′",
    "margin_rival": "how much nearer V is than the next video",
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "clips": "clips a step",
    "clips_per_s": "clips a second",
    "video_tokens_per_s": "video tokens a second",
    "tokens": "tokens a step",
    "video_tokens": "video tokens a step",
    "step_s": "seconds a step",
    "wait_s": "seconds waiting for data",
    "wait_share": "share of waiting for clips",
    "vision_share": "share of the vision tower",
    "llm_share": "share of the language model",
    "contrastive_share": "share of the contrastive terms",
    "rollout_full_s": "seconds sampling on V",
    "rollout_degraded_s": "seconds sampling on V′",
    "vision_s": "seconds in the vision tower",
    "reward_s": "seconds for rewards",
    "other_s": "seconds for the rest",
    "rollout_s": "seconds sampling",
    "update_s": "seconds updating",
}
SHARES = {"text_prefers_v", "t2v_r1", "q", "q_degraded", "both_right", "both_wrong", "refeed_rate", "no_signal", "unscored", "clip_fraction"} | {
    *("kept", "skipped", "redrawn", "failed_rewards", "without_twin", "accuracy_full", "accuracy_degraded", "accuracy_static"),
    *("wait_share", "vision_share", "llm_share", "contrastive_share"),
}
SCHEDULES = {"lr"}


def curve_panels(series: Mapping[str, Rows], *, only: tuple[str, ...] = ()) -> tuple[CurvePanel, ...]:
    """One panel for each scalar that any of the runs logged.

    Args:
        series: run -> rows of metrics.jsonl.
        only: names without their stage, to draw these alone, logged or not; empty draws everything.
    """
    logged = list(dict.fromkeys(key for rows in series.values() for row in rows for key in row if "/" in key))
    stages = list(dict.fromkeys(key.split("/")[0] for key in logged))
    if only:
        return tuple(_panel(f"{stage}/{name}") for stage in stages for name in only)
    order = {name: place for place, name in enumerate(SCALARS)}
    return tuple(_panel(key) for key in sorted(logged, key=lambda key: (stages.index(key.split("/")[0]), order.get(_base(key), len(order)))))


def _base(key: str) -> str:
    """`sft/tv_b16` is the term `tv` at block 16."""
    name = key.split("/", 1)[1]
    stem, _, block = name.rpartition("_b")
    return stem if stem and block.isdigit() else name


def _panel(key: str) -> CurvePanel:
    name, base = key.split("/", 1)[1], _base(key)
    title = SCALARS.get(base, name.replace("_", " "))
    return CurvePanel(key, f"{title}, block {name.rpartition('_b')[2]}" if name != base else title, percent=base in SHARES, noisy=base not in SCHEDULES)
