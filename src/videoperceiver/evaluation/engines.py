"""Who answers the questions: one protocol, three engines.

`TreeEngine` runs a checkpoint in this process, all questions of a video after one pass over it. `evaluation.endpoint.EndpointEngine` asks a server.
`GivenAnswers` reads what somebody else's model said, so that it is scored as ours is.
"""

import json
import weakref
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol as Interface

import numpy as np
import torch

from videoperceiver.errors import BudgetError, ConfigError, SampleError
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder, without_video
from videoperceiver.models.generate import generate
from videoperceiver.models.tree import Tree
from videoperceiver.stages import ModelConfig
from videoperceiver.types import Clip

Said = list[list[str]]
"""Completions by question and draw."""


@dataclass(frozen=True, eq=False)
class Ask:
    """One version of a video and the questions about it.

    Attributes:
        sample_id: for messages.
        condition: which version.
        clip: what is seen, at the engine's size; None for the question alone.
        ids: of the questions.
        questions: as asked.
        seeds: of each question's draws.
    """

    sample_id: str
    condition: str
    clip: Clip | None
    ids: tuple[str, ...]
    questions: tuple[str, ...]
    seeds: tuple[int, ...]


class Engine(Interface):
    """Answers questions.

    Attributes:
        name: for tables and messages.
        sees: whether it is shown clips; otherwise no video is read.
    """

    name: str
    sees: bool

    def fit(self, frames: np.ndarray) -> np.ndarray:
        """Frames (T, H, W, 3) uint8 at the size the model takes."""
        ...

    def answer(self, asks: Sequence[Ask], protocol: Protocol) -> list[Said | SampleError]:
        """What is said to each, or why nothing can be.

        Raises:
            VideoPerceiverError: nothing more can be answered at all.
        """
        ...


class TreeEngine:
    """A checkpoint in this process: questions branch off one pass over their video, several videos at a time."""

    sees = True

    def __init__(self, config: ModelConfig):
        self.backbone = Backbone.load(config.path, dtype=config.dtype, attention=config.attention, video_times=config.video_times)
        self.backbone.to("cuda" if torch.cuda.is_available() else "cpu")
        self.name, self._max_tokens = config.path, config.max_tokens

    def fit(self, frames: np.ndarray) -> np.ndarray:
        """As the family's own processor would."""
        return self.backbone.adapter.fit(frames)

    def answer(self, asks: Sequence[Ask], protocol: Protocol) -> list[Said | SampleError]:
        """All asks in one batch; one too large for the model is told apart from the others."""
        built: list[tuple[Tree, list[int]] | SampleError] = []
        for ask in asks:
            try:
                built.append(self._tree(ask, protocol))
            except SampleError as error:
                built.append(error)
        able = [(ask, item) for ask, item in zip(asks, built, strict=True) if not isinstance(item, SampleError)]
        drawn = iter(())
        if able:
            trees, leaves = [tree for _, (tree, _) in able], [own for _, (_, own) in able]
            drawn = iter(
                generate(
                    self.backbone,
                    trees,
                    leaves,
                    num_generations=protocol.num_samples,
                    max_new_tokens=protocol.max_new_tokens,
                    temperature=protocol.temperature,
                    seed=[ask.seeds for ask, _ in able],
                )
            )
        return [item if isinstance(item, SampleError) else [[completion.text for completion in question] for question in next(drawn)] for item in built]

    def _tree(self, ask: Ask, protocol: Protocol) -> tuple[Tree, list[int]]:
        if ask.clip is None:
            return without_video(self.backbone, ask.questions, sample_id=ask.sample_id)
        budget = None if protocol.text_first else self._max_tokens  # a question before its video shares nothing: the budget is each one's own
        builder = TreeBuilder(self.backbone, ask.clip, sample_id=ask.sample_id, max_tokens=budget)
        if protocol.text_first:
            if builder.video_tokens > self._max_tokens:
                raise BudgetError(
                    f"its video makes {builder.video_tokens} tokens, expected at most model.max_tokens={self._max_tokens}; "
                    "set benchmark.max_pixels for smaller frames, or raise it as far as the model was trained",
                    sample_id=ask.sample_id,
                )
            leaves = [builder.question_first(text) for text in ask.questions]
        else:
            video = builder.video()
            leaves = [builder.question(video, text) for text in ask.questions]
        return builder.tree(), leaves


class GivenAnswers:
    """A file of answers: JSON lines of {"sample", "question", "completion"}, and "condition" where it is not "full".

    Raises:
        ConfigError: no such file, a damaged line, or an answer given twice.
    """

    sees = False

    def __init__(self, path: str | Path, name: str):
        self.name = name
        keys, starts = array("q"), array("q")
        try:
            self._file = Path(path).open("rb")  # noqa: SIM115 - read again at every answer
            weakref.finalize(self, self._file.close)
            for number, line in enumerate(self._file, start=1):
                if line.strip():
                    key, _ = _parsed(line, f"{path}, line {number}")
                    keys.append(hash(key))  # 64 bits, not the names: a file of answers costs 16 bytes a line
                    starts.append(self._file.tell() - len(line))
        except OSError as error:
            raise ConfigError(f"engine.answers: {path} cannot be read ({error}); expected JSON lines of sample, question, completion") from error
        order = np.argsort(np.array(keys, dtype=np.int64), kind="stable")
        self._keys, self._starts = np.array(keys, dtype=np.int64)[order], np.array(starts, dtype=np.int64)[order]
        self._used = np.zeros(len(self._keys), dtype=bool)
        self._require_once(path)

    def _require_once(self, path: str | Path) -> None:
        repeated = np.flatnonzero(self._keys[1:] == self._keys[:-1]) + 1
        if len(repeated):
            start = self._starts[repeated].min()
            self._file.seek(0)
            number = self._file.read(int(start)).count(b"\n") + 1
            (sample, question, condition), _ = _parsed(self._line(start), f"{path}, line {number}")
            raise ConfigError(
                f"{path}, line {number}: question {question!r} of sample {sample!r} is answered twice under condition {condition!r}; remove one of the lines"
            )

    def _line(self, start: int) -> bytes:
        self._file.seek(int(start))
        return self._file.readline()

    def fit(self, frames: np.ndarray) -> np.ndarray:
        """Nothing is shown."""
        return frames

    def answer(self, asks: Sequence[Ask], protocol: Protocol) -> list[Said | SampleError]:
        """The answers given; a question without one leaves its sample unscored and listed."""
        return [self._answer(ask) for ask in asks]

    def _answer(self, ask: Ask) -> Said | SampleError:
        places = [self._place((ask.sample_id, question, ask.condition)) for question in ask.ids]
        self._used[[place for place in places if place >= 0]] = True
        if absent := [question for question, place in zip(ask.ids, places, strict=True) if place < 0]:
            few = ", ".join(absent[:5])
            return SampleError(f"no answer is given to {len(absent)} of its {len(ask.ids)} questions ({few}); expected one each", sample_id=ask.sample_id)
        return [[_parsed(self._line(self._starts[place]), "")[1]] for place in places]

    def _place(self, key: tuple[str, str, str]) -> int:
        """Of an answer among the sorted ones, -1 where there is none."""
        place = int(np.searchsorted(self._keys, hash(key)))
        return place if place < len(self._keys) and self._keys[place] == hash(key) else -1

    def unused(self, limit: int = 100) -> list[tuple[str, str, str]]:
        """(sample, question, condition) of the first answers to questions that were not asked."""
        return [_parsed(self._line(start), "")[0] for start in np.sort(self._starts[~self._used])[:limit]]


def _parsed(line: bytes, where: str) -> tuple[tuple[str, str, str], str]:
    """(sample, question, condition) of a line of answers, and what was said: "" for nothing."""
    try:
        row = json.loads(line)
        key, said = (str(row["sample"]), str(row["question"]), str(row.get("condition", "full"))), row["completion"]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"{where}: damaged ({error!r}); expected an object with sample, question and completion") from error
    return key, "" if said is None else str(said)
