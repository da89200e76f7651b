"""What can be known about the rendered clips, and by looking at what: reference points for every accuracy reported on them.

- oracle: reads the decoded pixels, knows the scenery and what events look like, not which ones there are. Close to 1 by construction;
  what it misses, encoding destroyed.
- majority: the most frequent answer of the family in training.
- text_only: the most frequent answer to the question as worded.
- static_frame: looks at the one most ordinary frame and follows the static cues. What a shortcut can reach.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import uniform_filter
from scipy.signal import fftconvolve

from videoperceiver.lab import accidents, signals, tasks
from videoperceiver.lab.dataset import render_dataset, scene_of
from videoperceiver.lab.difficulty import Cue, Difficulty, Split, difficulty_named
from videoperceiver.lab.render import COLOUR_NAMES, GREY, STRIP_COLOURS, TINT, Event, Scene, render, rgb
from videoperceiver.lab.scenes import STORIES
from videoperceiver.types import Question, Sample
from videoperceiver.video.read import read_clip

Answerer = Callable[[Sample, Question, np.ndarray], str | None]
"""(sample, question, decoded frames (T, H, W, 3)) -> answer, None for no answer."""

POP_THRESHOLD = 0.02  # the faintest pop has .05; the best match where there is none stays below .01
FLASH_THRESHOLD = 0.012  # the faintest flash has contrast .025; that of the median pixel without a flash stays below .003


def seen_events(scenery: Scene, frames: np.ndarray) -> tuple[Event, ...]:
    """Find the events of a clip in its pixels.

    Args:
        scenery: the scene; its events are not looked at.
        frames: (T, H, W, 3) uint8, decoded.

    Returns:
        Flashes, pop, jumps and swaps found, in order of time.
    """
    scenery = replace(scenery, events=(), noise=0.0)
    known, pixels = render(scenery).astype(np.float32), frames.astype(np.float32)
    flashes, pixels = _remove_flashes(pixels, known)
    moves, known = _find_moves(scenery, pixels, known)
    events = [*flashes, *moves, *_find_pop(scenery, pixels - known, known)]
    return tuple(sorted(events, key=lambda event: event.start))


def _remove_flashes(pixels: np.ndarray, known: np.ndarray) -> tuple[list[Event], np.ndarray]:
    """Flashes, and the pixels without them: the median pixel's lean towards the colour that explains it best."""
    shape = (len(pixels), -1, 3)
    lean = np.median((pixels - known).reshape(shape), 1)  # (T, 3)
    best_error, contrast, which = np.full(len(pixels), np.inf), np.zeros(len(pixels)), np.zeros(len(pixels), int)
    for i, colour in enumerate(COLOUR_NAMES):
        towards = np.median((rgb(colour) - known).reshape(shape), 1)  # (T, 3)
        alpha = np.clip((lean * towards).sum(-1) / (towards**2).sum(-1), 0, 0.95)
        error = np.linalg.norm(lean - alpha[:, None] * towards, axis=-1)
        better = error < best_error
        best_error[better], contrast[better], which[better] = error[better], alpha[better], i
    contrast[contrast < FLASH_THRESHOLD] = 0
    palette = np.stack([rgb(colour) for colour in COLOUR_NAMES])
    alpha = contrast[:, None, None, None]
    clean = (pixels - alpha * palette[which][:, None, None]) / (1 - alpha)
    return [Event("flash", a, b - a, COLOUR_NAMES[Counter(which[a:b]).most_common(1)[0][0]], float(contrast[a])) for a, b in _runs(contrast > 0)], clean


def possible_moves(scenery: Scene) -> list[Event]:
    """Jumps, swaps and hits as the stories draw them, sizes being typical."""
    size = scenery.size_px
    reaches = [signals.JUMP * size, accidents.SWERVE * size]
    moves = [Event("jump", 0, x_px=x * reach, y_px=y * reach) for reach in reaches for x, y in ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))]
    if len(scenery.things) > 1:
        touch = 0.95 * (scenery.things[0].radius_px + scenery.things[1].radius_px)
        moves += [Event("hit", 0, x_px=x * touch, y_px=y * touch) for x, y in ((-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0))]
        moves.append(Event("swap", 0))
    return moves


def _find_moves(scenery: Scene, pixels: np.ndarray, known: np.ndarray) -> tuple[list[Event], np.ndarray]:
    """Jumps and swaps, and the scenery with them: in each frame the arrangement of things that explains the pixels best."""
    num_frames = scenery.num_frames
    candidates = [replace(event, start=0, length=num_frames) for event in possible_moves(scenery)]
    arranged = np.stack([known, *(render(replace(scenery, events=(event,))).astype(np.float32) for event in candidates)])  # (C, T, H, W, 3)
    error = np.minimum(np.abs(pixels - arranged), 40).sum((2, 3, 4))  # (C, T), robust: a pop may be there too
    error[0] -= 0.02 * error[0].mean()  # nothing moved, unless something clearly did
    choice = error.argmin(0)
    found = [replace(event, start=a, length=b - a) for i, event in enumerate(candidates, 1) for a, b in _runs(choice == i)]
    return found, arranged[choice, np.arange(num_frames)]


def _find_pop(scenery: Scene, rest: np.ndarray, known: np.ndarray) -> list[Event]:
    """The disc that explains most of what is left: matched filter over frames, places and colours."""
    size = scenery.size_px
    radius = size * 3 / 32
    grid = np.arange(-int(radius) - 1, int(radius) + 2)
    disc = np.clip(radius + 0.5 - np.hypot(*np.meshgrid(grid, grid)), 0, 1)[None]
    best = (-1.0, 0, 0, 0, 0)
    alphas = {}
    for i, colour in enumerate(COLOUR_NAMES):
        towards = rgb(colour) - known
        along = fftconvolve((rest * towards).sum(-1), disc, "same", axes=(1, 2))  # (T, H, W)
        weight = fftconvolve((towards**2).sum(-1), disc, "same", axes=(1, 2))
        gain = np.where(along > 0, along**2 / np.maximum(weight, 1), 0)
        t, y, x = np.unravel_index(gain.argmax(), gain.shape)
        alphas[i] = along / np.maximum(weight, 1)
        best = max(best, (float(gain[t, y, x]), i, int(t), int(y), int(x)))
    _, i, t, y, x = best
    strength = alphas[i][:, y, x]
    if strength[t] < POP_THRESHOLD:
        return []
    start, end = next((a, b) for a, b in _runs(strength > strength[t] / 2) if a <= t < b)
    return [Event("pop", start, end - start, COLOUR_NAMES[i], float(strength[t]), x + 0.5, y + 0.5, radius)]


def _runs(mask: np.ndarray) -> list[tuple[int, int]]:
    """[start, end) of every stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def oracle(difficulty: Difficulty | None = None) -> Answerer:
    """Answers from the pixels, given the scenery."""

    seen: dict[str, Scene] = {}  # the last clip only: its questions come one after the other

    def answer(sample: Sample, question: Question, frames: np.ndarray) -> str | None:
        if sample.id not in seen:
            seen.clear()
            scene = scene_of(sample, difficulty).scene
            seen[sample.id] = replace(scene, events=seen_events(scene, frames))
        return tasks.answer_of(seen[sample.id], question)

    return answer


def majority(train: Sequence[Sample]) -> Answerer:
    """The most frequent training answer of the question's family."""
    most = _most_frequent(train, lambda question: question.family)
    return lambda sample, question, frames: most.get(question.family)


def text_only(train: Sequence[Sample]) -> Answerer:
    """The most frequent training answer to the question's exact text."""
    most = _most_frequent(train, lambda question: question.text)
    return lambda sample, question, frames: most.get(question.text)


def static_frame(train: Sequence[Sample]) -> Answerer:
    """Follows the static cues seen in one frame; falls back on the majority where a family has none."""
    most = _most_frequent(train, lambda question: question.family)
    return lambda sample, question, frames: static_cues(frames).get(question.family, most.get(question.family))


def static_cues(frames: np.ndarray) -> Mapping[str, str]:
    """What the cues of the most ordinary frame say: family -> answer, from pixels alone."""
    distance = np.abs(frames - np.median(frames, 0)).sum((1, 2, 3))
    frame = frames[distance.argmin()].astype(np.float32)  # (H, W, 3)
    palette, strips = np.stack([rgb(colour) for colour in COLOUR_NAMES]), np.asarray(STRIP_COLOURS, np.float32)
    width = max(1, len(frame) // 16)
    coloured = (np.linalg.norm(frame[:, :, None] - palette, axis=-1) < 50).astype(np.float32)  # (H, W, colours)
    side = len(frame) * 7 // 32
    square = int(np.argmax([uniform_filter(coloured[..., i], side).max() for i in range(len(palette))]))  # no disc fills such a window
    tint = _nearest(np.median(frame.reshape(-1, 3), 0), GREY + TINT * (palette - GREY))
    read = {"top": frame[:width], "bottom": frame[-width:], "left": frame[width:-width, :width]}
    says = {edge: _nearest(np.median(part.reshape(-1, 3), 0), strips) for edge, part in read.items()}
    says |= {"square": square, "tint": tint}
    found = {"object_colour": COLOUR_NAMES[square]}
    for story in STORIES.values():
        found |= {family: story.ANSWERS[family][min(says[cue], len(story.ANSWERS[family]) - 1)] for family, cue in story.CUES.items()}
    return found


def baseline_accuracy(folder: str | Path, samples: Sequence[Sample], answerers: Mapping[str, Answerer]) -> dict[str, dict[str, float]]:
    """Accuracy of each answerer by family, over samples rendered into `folder`.

    Returns:
        family -> name -> share of right answers; the last family, "mean", is the mean over families.
    """
    right: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for sample in samples:
        frames = read_clip(Path(folder) / sample.video, t_s=sample.t_s).frames
        for question in sample.questions:
            for name, answerer in answerers.items():
                right[question.family][name].append(answerer(sample, question, frames) == question.answer)
    table = {family: {name: float(np.mean(values)) for name, values in row.items()} for family, row in right.items()}
    return table | {"mean": {name: float(np.mean([row[name] for row in table.values()])) for name in answerers}}


def baseline_report(folder: str | Path, difficulty: str, *, num_clips: int = 200, seed: int = 0) -> dict[str, dict[str, float]]:
    """Every reference point of a preset, on test clips whose cues agree with the answers and on the same clips with conflicting cues.

    Args:
        folder: clips are rendered into `<difficulty>-train`, `-agree` and `-conflict` below it.
        difficulty: a preset's name.
        num_clips: test clips of each kind, and training clips for the most frequent answers.
        seed: of all clips.

    Returns:
        family -> name -> accuracy; cue-following is split into agree and conflict, all else is measured on both.
    """
    families = tasks.families_for(difficulty_named(difficulty))
    kinds: tuple[tuple[str, Split, Cue], ...] = (("train", "train", "shortcut"), ("agree", "test", "agree"), ("conflict", "test", "conflict"))
    made = {
        cue: render_dataset(
            Path(folder) / f"{difficulty}-{kind}", num_clips=num_clips, seed=seed, split=split, difficulty=difficulty, cue=cue, families=families
        )
        for kind, split, cue in kinds
    }
    train = made.pop("shortcut")
    same = {"oracle": oracle(), "majority": majority(train), "text_only": text_only(train)}
    agree, conflict = (
        baseline_accuracy(Path(folder) / f"{difficulty}-{cue}", samples, same | {"static_frame": static_frame(train)}) for cue, samples in made.items()
    )
    return {
        family: {name: (agree[family][name] + conflict[family][name]) / 2 for name in same}
        | {"static_frame, agree": agree[family]["static_frame"], "static_frame, conflict": conflict[family]["static_frame"]}
        for family in agree
    }


def markdown(table: Mapping[str, Mapping[str, float]]) -> str:
    """The table as Markdown, a family a row."""
    names = list(next(iter(table.values())))
    lines = ["| family | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    return "\n".join([*lines, *(f"| {family} | " + " | ".join(f"{row[name]:.3f}" for name in names) + " |" for family, row in table.items())])


def _most_frequent(samples: Sequence[Sample], key: Callable[[Question], str]) -> dict[str, str]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        for question in sample.questions:
            counts[key(question)][question.answer] += 1
    return {name: counter.most_common(1)[0][0] for name, counter in counts.items()}


def _nearest(colour: np.ndarray, choices: np.ndarray) -> int:
    return int(np.linalg.norm(choices - colour, axis=-1).argmin())
