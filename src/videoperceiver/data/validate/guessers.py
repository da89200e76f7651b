"""Guessers that see no event: each is fitted on other videos than those it is tried on, and says of each question whether it guessed right.

A guesser takes all questions and returns (N,) float: 1 right, 0 wrong, NaN where it has no opinion.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from videoperceiver.answers import TIME_TOLERANCE_S

FOLDS = 5
_MOST_CLASSES = 40
_SMOOTH = 0.5


@dataclass(frozen=True)
class Item:
    """A closed question as guessers see it.

    Attributes:
        sample, id: whose it is, and which.
        video: number of the video; questions of one share a fold.
        fold: 0 to FOLDS - 1.
        family: what is asked about, with the kind of its answer.
        tokens: the words of the question.
        options: wordings to choose between, in the order of their letters; empty where the answer is of an open class.
        lettered: whether options are chosen by letter.
        answer: as the parser reads it, of lettered options the wording of the right one.
        right: index of the right option, -1 without options.
        seconds: of a time, else None.
        chance: of guessing right at random.
    """

    sample: str
    id: str
    video: int
    fold: int
    family: str
    tokens: tuple[str, ...]
    options: tuple[str, ...]
    lettered: bool
    answer: str
    right: int
    seconds: float | None
    chance: float


def guess_majority(items: Sequence[Item]) -> np.ndarray:
    """The answer that is right most often in the family; of lettered options the wording that is right most often where it is shown."""
    right, shown, times = _FoldCounts(), _FoldCounts(), defaultdict(list)
    for item in items:
        right.add(item.family, item.fold, [item.answer])
        shown.add(item.family, item.fold, item.options)
        if item.seconds is not None:
            times[item.family].append((item.fold, item.seconds))
    modes = {(family, fold): _mode([at for own, at in listed if own != fold]) for family, listed in times.items() for fold in range(FOLDS)}
    answers: dict[tuple[str, int], str] = {}

    def guess(item: Item) -> float:
        key = item.family, item.fold
        if item.seconds is not None:
            return _right(abs(modes[key] - item.seconds) <= TIME_TOLERANCE_S)
        if item.lettered:
            rates = [right.of(*key, option) / (shown.of(*key, option) + 1) for option in item.options]
            return _right(int(np.argmax(rates)) == item.right)
        if key not in answers:
            answers[key] = right.most_common(*key)
        return _right(answers[key] == item.answer)

    return np.array([guess(item) for item in items])


def guess_position(items: Sequence[Item]) -> np.ndarray:
    """The letter that is right most often among as many options."""
    counts = _FoldCounts()
    for item in items:
        if item.lettered:
            counts.add(str(len(item.options)), item.fold, [str(item.right)])
    return np.array([_right(counts.most_common(str(len(item.options)), item.fold) == str(item.right)) if item.lettered else math.nan for item in items])


def guess_longest(items: Sequence[Item]) -> np.ndarray:
    """The longest option, the first of equals."""
    return np.array([_right(int(np.argmax([len(option) for option in item.options])) == item.right) if item.lettered else math.nan for item in items])


def guess_by_words(items: Sequence[Item]) -> np.ndarray:
    """Multinomial naive Bayes: of a class the answer that the question's words point to, of lettered options the one whose words are right most often."""
    seen, classes = _FoldCounts(), _FoldCounts()
    for item in items:
        if item.lettered:
            for i, option in enumerate(item.options):
                seen.add(f"{item.family}\0{i == item.right}", item.fold, option.split())
        elif item.seconds is None:
            classes.add(item.family, item.fold, [item.answer])
            seen.add(f"{item.family}\0{item.answer}", item.fold, item.tokens)

    def log_odds(item: Item, option: str) -> float:
        tokens = option.split()
        return sum(seen.log(f"{item.family}\0True", item.fold, t) - seen.log(f"{item.family}\0False", item.fold, t) for t in tokens) / max(len(tokens), 1)

    def guess(item: Item) -> float:
        if item.seconds is not None:
            return math.nan
        if item.lettered:
            return _right(int(np.argmax([log_odds(item, option) for option in item.options])) == item.right)
        known = classes.commonest(item.family, item.fold, _MOST_CLASSES)
        if not known:
            return math.nan
        scores = {a: math.log(num) + sum(seen.log(f"{item.family}\0{a}", item.fold, token) for token in item.tokens) for a, num in known}
        return _right(max(scores, key=lambda answer: scores[answer]) == item.answer)

    return np.array([guess(item) for item in items])


def guess_by_scenery(items: Sequence[Item], scenery: Mapping[str, np.ndarray]) -> np.ndarray:
    """Gaussian naive Bayes over what V' shows (sample -> (F,) features), with one spread for all answers of a family."""
    found = np.full(len(items), math.nan)
    families = defaultdict(list)
    for i, item in enumerate(items):
        if item.sample in scenery and item.seconds is None:
            families[item.family].append(i)
    for rows in families.values():
        features = np.stack([scenery[items[i].sample] for i in rows]).astype(np.float64)  # (n, F)
        answers, folds = np.array([items[i].answer for i in rows]), np.array([items[i].fold for i in rows])
        for fold in range(FOLDS):
            train, test = folds != fold, np.flatnonzero(folds == fold)
            known = [answer for answer, _ in Counter(answers[train].tolist()).most_common(_MOST_CLASSES)]
            if not len(test) or len(known) < 2:
                continue
            scores = _gaussian(features[train], answers[train], features[test], known)  # (tests, classes)
            for row, own in zip(test, scores):
                found[rows[row]] = _right(_best(items[rows[row]], known, own) == answers[row])
    return found


def _gaussian(train: np.ndarray, answers: np.ndarray, test: np.ndarray, known: Sequence[str]) -> np.ndarray:
    """Log-probability of each answer for each test row, up to a constant: (tests, classes)."""
    means = np.stack([train[answers == answer].mean(axis=0) for answer in known])  # (classes, F)
    spread = np.concatenate([train[answers == answer] - mean for answer, mean in zip(known, means)]).std(axis=0)
    spread = np.maximum(spread, 0.1 * spread.mean() + 1e-6)
    priors = np.log([(answers == answer).mean() for answer in known])
    return priors - 0.5 * (((test[:, None] - means) / spread) ** 2).sum(axis=2)


def _best(item: Item, known: Sequence[str], scores: np.ndarray) -> str:
    """The best of the answers that can be given; of lettered options none was seen before: the first."""
    allowed = [i for i, answer in enumerate(known) if not item.lettered or answer in item.options]
    return known[max(allowed, key=lambda i: scores[i])] if allowed else item.options[0]


class _FoldCounts:
    """How often values occur in a group, in all folds but one."""

    def __init__(self) -> None:
        self._all: dict[str, Counter[str]] = defaultdict(Counter)
        self._own: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self._sizes: Counter[str | tuple[str, int]] = Counter()
        self._common: dict[tuple[str, int, int], list[tuple[str, int]]] = {}

    def add(self, group: str, fold: int, values: Iterable[str]) -> None:
        listed = list(values)
        self._all[group].update(listed)
        self._own[group, fold].update(listed)
        self._sizes[group] += len(listed)
        self._sizes[group, fold] += len(listed)

    def of(self, group: str, fold: int, value: str) -> int:
        return self._all[group][value] - self._own[group, fold][value]

    def log(self, group: str, fold: int, value: str) -> float:
        """Smoothed log-probability of a value."""
        size, num_values = self._sizes[group] - self._sizes[group, fold], len(self._all[group]) + 1
        return math.log((self.of(group, fold, value) + _SMOOTH) / (size + _SMOOTH * num_values))

    def commonest(self, group: str, fold: int, most: int) -> list[tuple[str, int]]:
        """The commonest values and how often they occur; equals in order of the alphabet."""
        key = group, fold, most
        if key not in self._common:
            left = ((value, self.of(group, fold, value)) for value in self._all[group])
            self._common[key] = sorted(((value, num) for value, num in left if num > 0), key=lambda pair: (-pair[1], pair[0]))[:most]
        return self._common[key]

    def most_common(self, group: str, fold: int) -> str:
        return next((value for value, _ in self.commonest(group, fold, 1)), "")


def _mode(times: Sequence[float]) -> float:
    """The time that is near most of some times; NaN without any."""
    at = np.sort(np.array(times))
    if not len(at):
        return math.nan
    near = np.searchsorted(at, at + TIME_TOLERANCE_S, side="right") - np.searchsorted(at, at - TIME_TOLERANCE_S)
    return float(at[np.argmax(near)])


def _right(is_right: bool) -> float:
    return float(is_right)


Guesser = Callable[[Sequence[Item]], np.ndarray]
GUESSERS: dict[str, Guesser] = {"majority": guess_majority, "position": guess_position, "longest": guess_longest, "words": guess_by_words}
"""Those that read text alone."""
