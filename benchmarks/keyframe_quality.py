"""Do key frames hit events? On real clips with annotated events of at most 3 s, for the embedded default and three plain ways.

The clips lie beside the checkout in ../shared/clips and are not part of the project; without them the benchmark says so and measures nothing.

- Recall: share of events with a key frame within 0.5 s. Precision: share of key frames within 0.5 s of an event (`detail` also has 0 and 0.25 s; the
  annotations themselves are good to about 0.3 s). Intervals: bootstrap over clips.
- Frame difference: 8 fps, 96 x 72 grey, mean absolute difference, five-frame mean, peaks of prominence .25 and height .4 of the range. Random and uniform
  frames are as many as the default's.
- Text: for each of a clip's differently labelled events, whether the best frame for its label, among the frames in any event, lies in its own event;
  frame difference, which cannot read, is the chance level. And: four clips one after the other; whether the best frame for the description of
  one of them lies in it (chance .25).

`ratio` is the default's precision over random's; it holds if the default is more precise than frame difference without finding fewer events.
The scorer's constants were chosen looking at these clips: docs/keyframes.md has the cross-validated figures.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from PIL import Image

from videoperceiver.scoring.keywords import load_keywords
from videoperceiver.scoring.proxy import ProxyRelevance
from videoperceiver.types import Span
from videoperceiver.video.keyframes import find_keyframes
from videoperceiver.video.read import read_clip

CLIPS = Path(__file__).resolve().parents[1] / ".." / "shared" / "clips"
FPS, LONGEST_EVENT_S, QUICK_CLIP_S = 8, 3.0, 7.5
TOLERANCES_S, TOLERANCE_S = (0.0, 0.25, 0.5), 0.5
NUM_BOOTSTRAP, NUM_RANDOM, NUM_MIXES, CLIPS_A_MIX = 2000, 200, 60, 4


@dataclass
class Annotated:
    """A clip, its events and everything measured on it."""

    name: str
    t_s: np.ndarray
    events: list[Span]
    description: str
    records: np.ndarray
    difference: np.ndarray


def difference_of(frames: np.ndarray) -> np.ndarray:
    """(T,) the plain baseline's score."""
    grey = np.stack([np.asarray(Image.fromarray(frame).convert("L").resize((96, 72), Image.Resampling.BILINEAR), np.float32) for frame in frames])
    change = np.concatenate([[0], np.abs(np.diff(grey, axis=0)).mean((1, 2))])
    return np.convolve(np.pad(change, 2, mode="edge"), np.full(5, 0.2), "valid")


def load(scorer: ProxyRelevance, *, quick: bool, prefix: str = "") -> list[Annotated]:
    """Clips with events of at most 3 s; those whose name starts with "asl_" only where asked for."""
    found = []
    for row in json.loads((CLIPS / "manifest.json").read_text()):
        events = [Span(e["start"], e["end"], e["label"]) for e in row["events"] if e["end"] - e["start"] <= LONGEST_EVENT_S + 1e-9]
        if not events or row["file"].startswith("asl_") != (prefix == "asl_") or (quick and row["duration"] > QUICK_CLIP_S):
            continue
        clip = read_clip(CLIPS / row["file"], fps=FPS, size_px=scorer.size_px)
        found.append(Annotated(row["file"], clip.t_s, events, row["description"], scorer.describe(clip.frames), difference_of(clip.frames)))
    return found


def hits(clip: Annotated, keyframes_idx: Sequence[int] | np.ndarray, tolerance_s: float) -> np.ndarray:
    """(4,) events hit, events, key frames in an event, key frames."""
    times = clip.t_s[np.asarray(keyframes_idx, int)]  # (K,)
    near = np.array([(times >= e.start_s - tolerance_s) & (times <= e.end_s + tolerance_s) for e in clip.events])  # (E, K)
    return np.array([near.any(1).sum(), len(near), near.any(0).sum(), len(times)], float)


def rates(counts: np.ndarray) -> np.ndarray:
    """(..., 4) counts -> (..., 2) recall and precision."""
    return np.stack([counts[..., 0] / counts[..., 1], counts[..., 2] / np.maximum(counts[..., 3], 1)], -1)


def resampled(num: int) -> np.ndarray:
    """(NUM_BOOTSTRAP, num) indices drawn with replacement."""
    return np.random.default_rng(0).integers(0, num, (NUM_BOOTSTRAP, num))


def interval(values: np.ndarray) -> list[float]:
    """The middle 95 %."""
    return [round(float(value), 3) for value in np.quantile(values, [0.025, 0.975])]


def detection(clips: list[Annotated], chosen: list[np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, list[np.ndarray]]]:
    """Method -> (C, 4) counts at 0.5 s, and method -> key frames a clip where it has one choice."""
    rng = np.random.default_rng(0)
    kept = {"default": chosen, "frame difference": [find_keyframes(clip.difference) for clip in clips]}
    kept["uniform"] = [np.round((np.arange(len(k)) + 0.5) * len(c.t_s) / max(len(k), 1) - 0.5).astype(int) for c, k in zip(clips, chosen)]
    counts = {name: np.array([hits(c, k, TOLERANCE_S) for c, k in zip(clips, idx)]) for name, idx in kept.items()}
    draws = [[hits(c, rng.choice(len(c.t_s), len(k), replace=False), TOLERANCE_S) for _ in range(NUM_RANDOM)] for c, k in zip(clips, chosen)]
    counts["random"] = np.array(draws).mean(1)
    return counts, kept


def described(counts: dict[str, np.ndarray], kept: dict[str, list[np.ndarray]], clips: list[Annotated]) -> dict[str, dict]:
    """Recall and precision of each method with their intervals, and precision at tighter tolerances."""
    draws = resampled(len(clips))
    table = {}
    for name, values in counts.items():
        recall, precision = rates(values.sum(0))
        spread = rates(values[draws].sum(1))
        table[name] = {
            "recall": round(recall, 3),
            "recall_95": interval(spread[:, 0]),
            "precision": round(precision, 3),
            "precision_95": interval(spread[:, 1]),
        }
        if name in kept:
            tight = {t: sum(hits(c, k, t) for c, k in zip(clips, kept[name])) for t in TOLERANCES_S[:-1]}
            table[name] |= {f"precision_at_{t}_s": round(float(rates(value)[1]), 3) for t, value in tight.items()}
            table[name]["keyframes"] = int(values[:, 3].sum())
    gain = rates(counts["default"][draws].sum(1)) - rates(counts["frame difference"][draws].sum(1))
    table["default minus frame difference"] = {"recall_95": interval(gain[:, 0]), "precision_95": interval(gain[:, 1])}
    return table


def labels_told_apart(clips: list[Annotated], score: Callable[[Annotated, str], np.ndarray]) -> np.ndarray:
    """(C, 2) labels whose best frame lies in their own event, labels; of clips with two labels or more."""
    told = []
    for clip in clips:
        labels = sorted({event.label for event in clip.events})
        if len(labels) < 2:
            continue
        inside = {k: np.any([(clip.t_s >= e.start_s) & (clip.t_s <= e.end_s) for e in clip.events if e.label == k], axis=0) for k in labels}
        somewhere = np.any(list(inside.values()), axis=0)
        seen = [k for k in labels if inside[k].any()]
        right = sum(bool(inside[k][np.where(somewhere, score(clip, k), -np.inf).argmax()]) for k in seen)
        told.append((right, len(seen)))
    return np.array(told, float)


def share(told: np.ndarray) -> dict:
    """Share of the first column in the second, with its interval over rows."""
    spread = told[resampled(len(told))].sum(1)
    return {"share": round(float(told[:, 0].sum() / told[:, 1].sum()), 3), "95": interval(spread[:, 0] / spread[:, 1]), "num": int(told[:, 1].sum())}


def scenes_found(clips: list[Annotated], scorer: ProxyRelevance, keywords: dict[str, tuple[str, ...]]) -> np.ndarray:
    """(NUM_MIXES, 2) of four clips in a row: descriptions whose best frame lies in their own clip, descriptions."""
    rng, told = np.random.default_rng(1), []
    for _ in range(NUM_MIXES):
        mix = [clips[i] for i in rng.permutation(len(clips))[:CLIPS_A_MIX]]
        records = np.concatenate([clip.records for clip in mix])
        owner = np.repeat(np.arange(len(mix)), [len(clip.t_s) for clip in mix])
        times = np.arange(len(records)) / FPS
        told.append((sum(owner[scorer.relate(records, times, keywords[clip.name]).argmax()] == i for i, clip in enumerate(mix)), len(mix)))
    return np.array(told, float)


def main() -> int:
    """Prints the figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s: clips of at most 7.5 s")
    quick = parser.parse_args().quick
    if not CLIPS.is_dir():
        print(
            json.dumps({"name": "keyframe_quality", "ratio": None, "goal": None, "holds": None, "detail": "skipped: no ../shared/clips beside this checkout"})
        )
        return 0
    scorer = ProxyRelevance()
    clips = load(scorer, quick=quick)
    keywords = dict(zip([c.name for c in clips], load_keywords("spacy")([c.description for c in clips])))
    counts, kept = detection(clips, [find_keyframes(scorer.relate(c.records, c.t_s, keywords[c.name])) for c in clips])
    table = described(counts, kept, clips)
    detail = {
        "clips": len(clips),
        "events": sum(len(c.events) for c in clips),
        **table,
        "labels_told_apart": share(labels_told_apart(clips, lambda clip, label: scorer.relate(clip.records, clip.t_s, (label,)))),
        "labels_told_apart_by_frame_difference": share(labels_told_apart(clips, lambda clip, label: clip.difference)),
        "scenes_found": share(scenes_found(clips, scorer, keywords)),
    }
    if not quick:
        signs = load(scorer, quick=False, prefix="asl_")
        counts_asl, _ = detection(signs, [find_keyframes(scorer.relate(c.records, c.t_s, ())) for c in signs])
        detail["asl"] = {name: [round(float(v), 3) for v in rates(values.sum(0))] for name, values in counts_asl.items()}
    for name, row in table.items():
        print(f"{name}: {row}")
    default, plain = table["default"], table["frame difference"]
    holds = default["precision"] > plain["precision"] and default["recall"] >= plain["recall"]
    ratio, goal = default["precision"] / table["random"]["precision"], plain["precision"] / table["random"]["precision"]
    print(json.dumps({"name": "keyframe_quality", "ratio": round(ratio, 3), "goal": round(goal, 3), "holds": bool(holds), "detail": detail}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
