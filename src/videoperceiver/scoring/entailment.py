"""Does the reference entail the answer? The Q of open questions in eq. (8): an NLI checkpoint, or a named proxy from words alone.

Both return a probability in 0..1 for each pair and NaN where there is nothing to compare: Q never guesses.
"""

import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from videoperceiver.errors import ModelError

Entailment = Callable[[Sequence[str], Sequence[str]], np.ndarray]
"""(premises, hypotheses) -> (N,) float32 probability that the premise entails the hypothesis; NaN = unscorable."""

_NEGATIONS = frozenset({"not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without"})
_COUNTS = ("zero", None, "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")  # "one" is mostly a pronoun
_NUMBERS = {word: str(count) for count, word in enumerate(_COUNTS) if word} | {"once": "1", "twice": "2"}
_FILLERS = frozenset(
    re.findall(
        r"\w+",
        "a an the is are was were be been being am do does did has have had of to in on at by with and or it its this that these those there their his her "
        "then as into from for he she they who which while very some",
    )
)
_ORDER = re.compile(r"\b(before|after|followed by|and then|then)\b")
_ORDER_WORDS = frozenset({"befor", "after", "follow"})  # as `_stem` leaves them
_LATER_FIRST = "after"
_BATCH = 32


def load_entailment(name: str = "proxy", *, device: str | None = None) -> Entailment:
    """An entailment backend.

    Args:
        name: "proxy", or the hub id or folder of an NLI sequence classifier.
        device: for a classifier; None takes CUDA where present.

    Raises:
        ModelError: the checkpoint cannot be loaded or has no label "entailment".
    """
    return entailment_proxy if name == "proxy" else NliEntailment(name, device)


def entailment_proxy(premises: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
    """Share of the hypothesis' content words that the premise holds; 0 where negation, numbers or order contradict it. A proxy, not an NLI model.

    - Negation: exactly one of the two is negated.
    - Numbers: the hypothesis names one that the premise does not ("twice" is 2).
    - Order: both tell an order of events (before, after, then, followed by) and their words match better crosswise.
    """
    return np.array([_overlap(premise, hypothesis) for premise, hypothesis in zip(premises, hypotheses, strict=True)], np.float32)


class NliEntailment:
    """Probability of the label "entailment" by a sequence classifier. Arguments and errors as in `load_entailment`."""

    def __init__(self, model: str, device: str | None = None):
        from videoperceiver.scoring.checkpoints import load_model, load_pretrained

        self._tokenizer = load_pretrained("AutoTokenizer", model)
        self._model = load_model("AutoModelForSequenceClassification", model, device, dtype="auto")
        labels = {str(label).lower(): index for index, label in self._model.config.id2label.items()}
        if "entailment" not in labels:
            raise ModelError(f"{model!r} has the labels {', '.join(labels)}; expected one called 'entailment' in its config's id2label")
        self._label = int(labels["entailment"])

    def __call__(self, premises: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
        """(N,) float32; NaN where a text is empty."""
        import torch

        scores = np.full(len(premises), np.nan, np.float32)
        pairs = [(i, *pair) for i, pair in enumerate(zip(premises, hypotheses, strict=True)) if all(text.strip() for text in pair)]
        for start in range(0, len(pairs), _BATCH):
            chosen, first, second = zip(*pairs[start : start + _BATCH])
            inputs = self._tokenizer(list(first), list(second), padding=True, truncation=True, return_tensors="pt").to(self._model.device)
            with torch.inference_mode():
                logits = self._model(**inputs).logits.float()  # (n, C)
            scores[list(chosen)] = logits.softmax(-1)[:, self._label].cpu().numpy()
        return scores


def content_words(text: str) -> set[str]:
    """Stems of the words that carry a text's meaning: no articles, auxiliaries, prepositions, pronouns or negations."""
    return _content(_words(text))


def _overlap(premise: str, hypothesis: str) -> float:
    given, claimed = _words(premise), _words(hypothesis)
    told, claims = _order(premise), _order(hypothesis)
    content = _content(claimed)
    if not _content(given) or not content:
        return float("nan")
    if _is_negated(given) != _is_negated(claimed):
        return 0.0
    if any(word[0].isdigit() and word not in given for word in claimed):
        return 0.0
    if told and claims:
        if _crosswise(told, claims):
            return 0.0
        content -= _ORDER_WORDS  # "A before B" is "B after A"
    return len(content & _content(given)) / len(content) if content else 1.0


def _words(text: str) -> list[str]:
    """Lower-case words and numbers in order; number words become digits, n't becomes not."""
    spread = re.sub(r"n't\b|n’t\b", " not", text.lower().replace("can't", "can not").replace("cannot", "can not"))
    return [_NUMBERS.get(word, word) for word in map(str, re.findall(r"[a-z]+|\d+(?:\.\d+)?", spread))]


def _content(words: Iterable[str]) -> set[str]:
    return {_stem(word) for word in words if word not in _FILLERS and word not in _NEGATIONS}


def _stem(word: str) -> str:
    """Without a plural or verb ending: kicks, kicked, kicking -> kick."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending).rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word


def _is_negated(words: Sequence[str]) -> bool:
    return sum(word in _NEGATIONS for word in words) % 2 == 1


def _crosswise(told: tuple[set[str], set[str]], claims: tuple[set[str], set[str]]) -> bool:
    straight = len(told[0] & claims[0]) + len(told[1] & claims[1])
    return len(told[0] & claims[1]) + len(told[1] & claims[0]) > straight


def _order(text: str) -> tuple[set[str], set[str]] | None:
    """Content words of what comes first and of what comes later; None where no order is told."""
    found = _ORDER.search(text.lower())
    if found is None:
        return None
    before, after = _content(_words(text[: found.start()])), _content(_words(text[found.end() :]))
    return (after, before) if found.group(1) == _LATER_FIRST else (before, after)
