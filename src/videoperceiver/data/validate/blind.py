"""How far one gets without seeing the event: what a question's text, the place of its options, or the scenery of V' tell of its answer.

Simple guessers, each fitted on other videos than those it is tried on, against guessing at random:

    majority    the answer that is right most often in the question's family (of a choice: the wording; of a time: what is near most of them)
    position    the letter that is right most often among as many options
    longest     the longest option
    words       naive Bayes over the words of the question, for choices over those of each option
    scenery     naive Bayes over coarse colours of V', from which the event was removed
    model       answers of a model that was shown V' alone, where they are given

A family that one of them answers clearly above chance leaks: a model can learn it without looking.
"""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from videoperceiver.answers import TIME_TOLERANCE_S, compare, extract
from videoperceiver.answers.choice import option_texts
from videoperceiver.data.validate.guessers import FOLDS, GUESSERS, Item, guess_by_scenery
from videoperceiver.data.validate.intervals import Share, clustered_share
from videoperceiver.data.validate.subject import of_question, tokens
from videoperceiver.errors import SampleError
from videoperceiver.stages import ValidateConfig
from videoperceiver.types import Question, Sample

_GRID = 4
_SHOWN = 20
_ANY = ValidateConfig()
ALL = "all"
LEAST_VIDEOS = 10
"""Of fewer, all may be right by luck, and an interval without spread says nothing."""


@dataclass(frozen=True)
class Guessed:
    """A guesser on a family.

    Attributes:
        family: with the kind of its answers; `ALL` for all questions.
        guesser: its name.
        accuracy: with its interval over videos.
        chance: mean accuracy of guessing at random on the same questions.
        leaks: whether the interval of accuracy less chance lies above 0, over at least `LEAST_VIDEOS` videos.
    """

    family: str
    guesser: str
    accuracy: Share
    chance: float
    leaks: bool


@dataclass(frozen=True)
class Leak:
    """A question that is guessed without looking.

    Attributes:
        sample, question: whose it is, and its id.
        family: of it.
        guessers: those that were right.
        chance: of guessing it at random.
    """

    sample: str
    question: str
    family: str
    guessers: tuple[str, ...]
    chance: float


@dataclass(frozen=True)
class Blind:
    """What can be told without looking.

    Attributes:
        rows: every guesser on every family, families that leak most first, `ALL` before them.
        questions: the questions guessed by most guessers in families that leak, the least likely by chance first.
        num: closed questions looked at.
        num_left_out: closed questions beyond the limit.
    """

    rows: tuple[Guessed, ...]
    questions: tuple[Leak, ...]
    num: int
    num_left_out: int

    @property
    def leaking(self) -> list[Guessed]:
        """The guesses above chance, the largest gain first, of families alone."""
        return sorted((row for row in self.rows if row.leaks and row.family != ALL), key=lambda row: row.chance - row.accuracy.value)


def blind_probe(
    samples: Iterable[Sample],
    *,
    scenery: Mapping[str, np.ndarray] | None = None,
    predictions: Mapping[tuple[str, str], str] | None = None,
    limit: int = 50_000,
) -> Blind:
    """Guessers on the closed questions of some samples, streamed.

    Args:
        samples: with their videos' hashes, by which questions are told to belong together.
        scenery: sample -> (F,) what its V' shows (`colours`); without it there is no such guesser.
        predictions: (sample, question) -> what a model answered that saw V' alone.
        limit: questions held; beyond it those of the videos with the least hashes, so that what is looked at does not depend on the order.
    """
    items, asked, num = _collect(samples, limit)
    results = {name: guess(items) for name, guess in GUESSERS.items()} if items else {}
    if items and scenery:
        results["scenery"] = guess_by_scenery(items, scenery)
    if items and predictions:
        results["model"] = np.array([_scored(predictions.get((item.sample, item.id)), asked[item.sample, item.id]) for item in items])
    rows = _rows(items, results)
    return Blind(tuple(rows), tuple(_leaking_questions(items, results, rows)), len(items), num - len(items))


def colours(frames: np.ndarray) -> np.ndarray:
    """What a clip's scenery looks like, coarsely.

    Args:
        frames: (T, H, W, 3) uint8, of V'.

    Returns:
        (48,) float32: mean colour over time of each cell of a 4 x 4 grid.
    """
    small = [np.asarray(Image.fromarray(frame).resize((_GRID, _GRID), Image.Resampling.BOX), np.float32) for frame in frames]
    return np.mean(small, axis=0).ravel()


def _collect(samples: Iterable[Sample], limit: int) -> tuple[list[Item], dict[tuple[str, str], Question], int]:
    """Closed questions as items, bounded in number; the questions themselves; and how many there were."""
    held: list[tuple[int, int, str, Question, float]] = []
    num = 0
    for sample in samples:
        video = int.from_bytes(hashlib.blake2b((sample.sha256 or sample.video).encode(), digest_size=7).digest(), "big")
        duration_s = sample.t_s[-1] - sample.t_s[0] if len(sample.t_s) > 1 else 0.0
        for question in sample.questions:
            if question.kind == "open":
                continue
            entry = (-video, num, sample.id, question, duration_s)
            heapq.heappush(held, entry) if len(held) < limit else heapq.heappushpop(held, entry)
            num += 1
    held.sort(key=lambda entry: entry[1])
    items = [item for entry in held if (item := _item(*entry)) is not None]
    sizes = Counter(family for family, _ in {(item.family, item.answer) for item in items})
    items = [item if item.chance else replace(item, chance=1 / sizes[item.family]) for item in items]
    return items, {(sample, question.id): question for _, _, sample, question, _ in held}, num


def _item(video: int, _: int, sample: str, question: Question, duration_s: float) -> Item | None:
    """A question as guessers see it; None where its answer cannot be read, which is for the rules to say. A chance of 0 is still to be set."""
    answer = extract(question.answer, question.kind, question.options)
    if answer is None:
        return None
    options, right, chance = question.options, -1, 1 / len(question.options) if question.options else 0.5 if question.kind == "yes_no" else 0.0
    lettered, seconds = question.kind == "choice" and len(options) > 0, None
    if lettered:
        options = tuple(wording or letter for letter, wording in option_texts(options).items())
        right = min(ord(answer) - ord("A"), len(options) - 1)
        answer = options[right]
    elif question.kind == "time":
        seconds = float(answer)
        chance = chance or (min(1.0, 2 * TIME_TOLERANCE_S / duration_s) if duration_s > 0 else 0.0)
    family = f"{question.family or '(no family)'} · {question.kind}"
    stem = of_question(question, math.inf, _ANY).stem
    return Item(sample, question.id, -video, -video % FOLDS, family, tokens(stem), options, lettered, answer, right, seconds, chance)


def _scored(completion: str | None, question: Question) -> float:
    """1 right, 0 wrong or unreadable, NaN where the model was not asked."""
    if completion is None:
        return math.nan
    try:
        return float(compare(completion, question.answer, question.kind, question.options) == 1.0)
    except SampleError:
        return math.nan


def _rows(items: Sequence[Item], results: Mapping[str, np.ndarray]) -> list[Guessed]:
    chances, videos = np.array([item.chance for item in items]), np.array([item.video for item in items], np.int64)
    families: dict[str, list[int]] = {}
    for i, item in enumerate(items):
        families.setdefault(item.family, []).append(i)
    cuts = {ALL: np.arange(len(items)), **{family: np.array(own) for family, own in families.items()}}
    rows = []
    for family, own in cuts.items():
        for guesser, scores in results.items():
            accuracy = clustered_share(scores[own], videos[own])
            if accuracy.num:
                tried = own[~np.isnan(scores[own])]
                excess = clustered_share(scores[tried] - chances[tried], videos[tried])
                rows.append(Guessed(family, guesser, accuracy, float(chances[tried].mean()), excess.low > 0 and excess.num_videos >= LEAST_VIDEOS))
    gain = {family: max((row.accuracy.value - row.chance for row in rows if row.family == family and row.leaks), default=0.0) for family in cuts}
    return sorted(rows, key=lambda row: (row.family != ALL, -gain[row.family], row.family))


def _leaking_questions(items: Sequence[Item], results: Mapping[str, np.ndarray], rows: Sequence[Guessed]) -> list[Leak]:
    trusted = {(row.family, row.guesser) for row in rows if row.leaks}
    found = []
    for i, item in enumerate(items):
        right = tuple(name for name, scores in results.items() if scores[i] == 1.0 and (item.family, name) in trusted)
        if right:
            found.append(Leak(item.sample, item.id, item.family, right, item.chance))
    return heapq.nsmallest(_SHOWN, found, key=lambda leak: (-len(leak.guessers), leak.chance))
