"""Prediction rows drawn at random, of every kind that the tables meet: hidden, unread and unscored answers, draws, tags few and many, uneven videos."""

import random
from collections.abc import Sequence

KINDS = ("choice", "yes_no", "number", "word", "open", "time")
CONDITIONS = ("full", "degraded", "blank", "text")


def random_rows(families: Sequence[str] = ("f", "g", "h"), num: int = 120, seed: int = 0) -> list[dict]:
    """`num` questions on `num // 4` videos, most of them under every condition."""
    rng, rows = random.Random(seed), []
    for i in range(num):
        video, kind, family = f"v{rng.randrange(num // 4)}", rng.choice(KINDS), rng.choice(families)
        reference = "" if rng.random() < 0.1 else "red" if kind == "open" else rng.choice(("1.5", "2", "30"))
        tags = {"cue": rng.choice(("agree", "conflict")), "id": str(i)} | ({"half": "first"} if i % 2 else {})
        for condition in CONDITIONS:
            if condition != "full" and rng.random() < 0.15:
                continue
            unread = rng.random() < 0.2
            score = None if unread or not reference else rng.choice((0.0, 1.0, 1.0, 0.25))
            extracted = None if unread else reference or "2"
            rows.append(
                {
                    "sample": f"s-{video}", "question": str(i), "family": family, "kind": kind, "static": rng.choice((True, False)), "condition": condition,
                    "text": "What?", "options": ["a", "b"], "completion": "x", "extracted": extracted, "reference": reference, "score": score,
                    "tags": tags, "num_frames": 8, "video": f"{video}.mp4",
                }
            )  # fmt: skip
    return rows
