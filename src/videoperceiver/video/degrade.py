"""V', the clip without its key information (paper 3.1): an index map over V, one registry of operators, no pixels stored.

An operator answers one question: which frame of V does each frame of V' show? One of your own is named "package.module:function" or
"folder/file.py:function" wherever an operator is named, in recipes and on the command line too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from videoperceiver.errors import ConfigError
from videoperceiver.plugins import choose
from videoperceiver.types import BLANK, BLANK_LEVEL, Clip, Degradation
from videoperceiver.video.keyframes import contiguous

Operator = Callable[[int, Sequence[range], Sequence[int], np.random.Generator], np.ndarray]
"""(num_frames, runs, keyframes_idx, rng) -> (num_frames,) source indices; leaving every frame in place means "not applicable"."""
SIGNATURE = "(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray"


def hold(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Default: each whole run shows the last frame before it, or the first after it where it starts the clip."""
    source_idx = np.arange(num_frames)
    for run in contiguous(list(chain.from_iterable(runs))):
        if run.start > 0:
            source_idx[run.start : run.stop] = run.start - 1
        elif run.stop < num_frames:
            source_idx[run.start : run.stop] = run.stop
    return source_idx


def predecessor(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Literal: f'_t = f_{t-1} for each key frame t but the first frame, always the ORIGINAL f_{t-1}."""
    source_idx = np.arange(num_frames)
    later = np.asarray([k for k in keyframes_idx if k > 0], dtype=np.int64)
    source_idx[later] = later - 1
    return source_idx


def random(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Ablation A: as many frames as `hold` would replace, at random positions, each replaced as `hold` does."""
    num_replaced = int((hold(num_frames, runs, keyframes_idx, rng) != np.arange(num_frames)).sum())
    chosen = rng.choice(num_frames, size=num_replaced, replace=False)
    return hold(num_frames, contiguous(chosen), (), rng)


def elsewhere(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Control: as many frames as `hold` would replace, or all there are, at random where nothing happens; the event stays and only the repetition is left."""
    num_replaced = int((hold(num_frames, runs, keyframes_idx, rng) != np.arange(num_frames)).sum())
    shown = set(chain.from_iterable(runs))
    quiet = [i for i in range(1, num_frames) if i not in shown and i - 1 not in shown]
    chosen = rng.choice(quiet, size=min(num_replaced, len(quiet)), replace=False)
    return hold(num_frames, contiguous(sorted(chosen)), (), rng)


def shuffle(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """All frames in random order, never the original one."""
    source_idx = np.arange(num_frames)
    while num_frames > 1 and (source_idx == np.arange(num_frames)).all():
        source_idx = rng.permutation(num_frames)
    return source_idx


def reverse(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """All frames backwards."""
    return np.arange(num_frames)[::-1]


def freeze(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """One frame all the time: what `hold` shows in the first run, the first frame where there is no run."""
    held = hold(num_frames, runs[:1], keyframes_idx, rng)
    first = min((run.start for run in runs[:1]), default=0)
    return np.full(num_frames, held[first])


def blank(num_frames: int, runs: Sequence[range], keyframes_idx: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """Nothing to see in any frame: what is answered then is answered from the text alone."""
    return np.full(num_frames, BLANK)


OPERATORS: dict[str, Operator] = {
    "hold": hold,
    "predecessor": predecessor,
    "random": random,
    "elsewhere": elsewhere,
    "shuffle": shuffle,
    "reverse": reverse,
    "freeze": freeze,
    "blank": blank,
}


def load_operator(name: str) -> Operator:
    """An operator of `OPERATORS`, or one of the user's (see `plugins`).

    Raises:
        ConfigError: no such operator, module, file or function.
    """
    return choose(name, OPERATORS, role="operator", signature=SIGNATURE, num_arguments=4)


def degrade(num_frames: int, operator: str, *, runs: Sequence[range] = (), keyframes_idx: Sequence[int] | np.ndarray = (), seed: int = 0) -> Degradation | None:
    """Decides what each frame of V' shows.

    Args:
        num_frames: T of the clip.
        operator: see `load_operator`.
        runs: runs of key frames (`keyframes.runs`, or `keyframes.contiguous` of annotated frames); for hold, random, elsewhere, freeze.
        keyframes_idx: (K,) key frames; for predecessor.
        seed: of the random operators.

    Returns:
        The index map, or None where nothing was replaced: such a clip has no V', and V' = V is never passed off as one.

    Raises:
        ConfigError: no such operator, or one that raises or returns no (T,) index map.
        ValueError: indices outside the clip.
    """
    function = load_operator(operator)
    keyframes = [int(k) for k in keyframes_idx]
    touched = [*keyframes, *(i for run in runs for i in (run.start, run.stop - 1))]
    if touched and not 0 <= min(touched) <= max(touched) < num_frames:
        raise ValueError(f"got key frames in {min(touched)}..{max(touched)} for a clip of {num_frames} frames; expected 0..{num_frames - 1}")
    try:
        source_idx = np.asarray(function(num_frames, runs, keyframes, np.random.default_rng(seed)))
    except Exception as error:
        raise ConfigError(f"operator {operator!r} raised {type(error).__name__}: {error}, for {num_frames} frames with runs {list(runs)}; mend it") from error
    if source_idx.shape != (num_frames,) or not ((source_idx >= BLANK) & (source_idx < num_frames)).all():
        raise ConfigError(f"operator {operator!r} gave indices {source_idx!r}; expected ({num_frames},) of {BLANK}..{num_frames - 1}")
    if (source_idx == np.arange(num_frames)).all():
        return None
    is_random = function in (random, elsewhere, shuffle) or function.__module__ != __name__
    return Degradation(operator, tuple(source_idx.tolist()), seed if is_random else 0)


def apply(clip: Clip, degradation: Degradation) -> Clip:
    """V' of a clip: the same times, other frames.

    Raises:
        ValueError: the degradation was made for a clip of another length.
    """
    if len(degradation.source_idx) != len(clip):
        raise ValueError(f"{clip.source}: has {len(clip)} frames, its degradation {len(degradation.source_idx)}; they must be of one clip")
    source_idx = np.asarray(degradation.source_idx)
    frames = clip.frames[np.maximum(source_idx, 0)]
    frames[source_idx == BLANK] = BLANK_LEVEL
    return replace(clip, frames=frames)


def with_residual(degradation: Degradation, scores: np.ndarray, degraded_scores: np.ndarray, threshold: float) -> Degradation:
    """Adds the residual check: is the event still to be seen in V'?

    Args:
        degradation: of the clip.
        scores: (T,) relevance of V.
        degraded_scores: (T,) relevance of V', by the same scorer and keywords.
        threshold: the relevance, in the scorer's own units, that no replaced frame of V' may exceed.

    Returns:
        The degradation with `residual`, `change` and `removed` filled in.
    """
    scores, degraded_scores = np.asarray(scores, np.float64), np.asarray(degraded_scores, np.float64)
    if not len(scores) == len(degraded_scores) == len(degradation.source_idx):
        raise ValueError(f"got {len(scores)} and {len(degraded_scores)} scores for {len(degradation.source_idx)} frames; expected one each")
    residual = float(degraded_scores[list(degradation.replaced_idx)].max())
    return replace(degradation, residual=residual, change=float(np.abs(scores - degraded_scores).max()), removed=residual <= threshold)


@dataclass(frozen=True)
class Replacement:
    """A stretch of V' that shows something else than V, in source seconds.

    Attributes:
        start_s: time of its first frame.
        end_s: time of its last frame.
        num_frames: its length.
        from_s: time of the frame it shows, None for blank; of the first of them where it shows several.
    """

    start_s: float
    end_s: float
    num_frames: int
    from_s: float | None


def replacements(degradation: Degradation, t_s: Sequence[float] | np.ndarray) -> list[Replacement]:
    """What was replaced, from where, at which seconds: one entry a stretch of consecutive replaced frames.

    Args:
        degradation: of the clip.
        t_s: (T,) the clip's times.
    """
    found = []
    for run in contiguous(degradation.replaced_idx):
        source = degradation.source_idx[run.start]
        found.append(Replacement(float(t_s[run.start]), float(t_s[run.stop - 1]), len(run), None if source == BLANK else float(t_s[source])))
    return found
