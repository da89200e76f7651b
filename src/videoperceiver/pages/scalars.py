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
    "lr": "learning rate",
    "grad_norm": "gradient norm",
    "tokens": "tokens a step",
    "step_s": "seconds a step",
    "wait_s": "seconds waiting for data",
    "rollout_s": "seconds sampling",
    "update_s": "seconds updating",
}
SHARES = {"text_prefers_v", "t2v_r1", "q", "q_degraded", "both_right", "both_wrong", "refeed_rate", "no_signal", "unscored", "clip_fraction"}
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
