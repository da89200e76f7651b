"""How far one gets without looking at the event, as a section of the card; and what V' of some clips shows, for the guesser that looks at it."""

import hashlib

import numpy as np

from videoperceiver.data.manifest import Manifest
from videoperceiver.data.validate.blind import ALL, Blind, Guessed, colours
from videoperceiver.data.validate.intervals import LEVEL
from videoperceiver.errors import SampleError
from videoperceiver.pages import words
from videoperceiver.pages.count_table import CountTable
from videoperceiver.types import BLANK, Sample
from videoperceiver.video.read import read_clip

FRAMES, SIZE_PX = 4, 64
SHOWN = 12
SEES = {
    "majority": "the family’s most frequent answer",
    "position": "the most frequent place among the options",
    "longest": "the longest option",
    "words": "the words of question and options",
    "scenery": "coarse colours of V′",
    "model": "V′, through a model",
}
"""Guesser of the probe -> what it sees."""


def sceneries(manifest: Manifest, num_degraded: int, limit: int) -> dict[str, np.ndarray]:
    """What V' shows of about `limit` clips, drawn by the hash of their ids, so that the choice depends on nothing else.

    Args:
        manifest: whose clips they are.
        num_degraded: how many have V'.
        limit: of clips that are read.

    Returns:
        Sample -> (48,) `colours` of a few frames of its V'; clips that cannot be read are left out.
    """
    found = {}
    for sample in manifest if limit else ():
        if sample.degradation is not None and sample.questions and _drawn(sample.id) * num_degraded < limit:
            try:
                found[sample.id] = _scenery(manifest, sample)
            except SampleError:  # told where the clip is trained on; here one clip fewer is looked at
                continue
    return found


def _drawn(name: str) -> float:
    """A number in [0, 1) that belongs to a name."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest(), "big") / 2**48


def _scenery(manifest: Manifest, sample: Sample) -> np.ndarray:
    """A few frames of V', evenly spread, none of them blank."""
    assert sample.degradation is not None
    shown = [i for i in sample.degradation.source_idx if i != BLANK] or [0]
    chosen = sorted({shown[round(k)] for k in np.linspace(0, len(shown) - 1, FRAMES)})
    times = np.asarray(sample.t_s)[chosen]
    return colours(read_clip(manifest.resolve(sample), t_s=times, size_px=SIZE_PX, frame_fps=sample.frame_fps).frames)


def blind_words(blind: Blind) -> list[str]:
    """What leaks, or that nothing is seen to; how much was looked at."""
    leaking = blind.leaking
    text = [f"From {SEES.get(row.guesser, row.guesser)}, {_right(row)}." for row in leaking[:2]]
    if not leaking:
        text.append("No family of questions is guessed better than chance by more than its interval allows.")
    elif len(leaking) > len(text):
        text.append(f"{words.plural(len(leaking) - len(text), 'further guess', 'further guesses')} above chance, below.")
    if not any(row.guesser == "scenery" for row in blind.rows):
        text.append("What the scenery of V′ gives away was not measured; `videoperceiver data card` on this folder does, where clips have V′.")
    return text + ([f"{blind.num_left_out:,} further questions were not looked at."] if blind.num_left_out else [])


def blind_tables(blind: Blind) -> list[CountTable]:
    """Every guesser on all questions, the families that are guessed, and questions that most guessers get."""
    everything = [(SEES.get(row.guesser, row.guesser), row.accuracy.num, *_numbers(row)) for row in blind.rows if row.family == ALL]
    families = [(_family(row.family), SEES.get(row.guesser, row.guesser), row.accuracy.num, *_numbers(row)) for row in blind.leaking[:SHOWN]]
    leaks = [(leak.sample, leak.question, _family(leak.family), ", ".join(leak.guessers)) for leak in blind.questions[:SHOWN]]
    heads, note = ("questions", "right", "interval", "by chance"), f"Intervals of {words.percent(LEVEL)}, over videos."
    tables = [
        CountTable("Guessed without looking, all closed questions", ("seen", *heads), everything, note=note),
        CountTable("Families that are guessed above chance", ("family", "seen", *heads), families),
        CountTable("Questions that most guessers get right", ("clip", "question", "family", "guessers"), leaks),
    ]
    return [table for table in tables if table.rows]


def _numbers(row: Guessed) -> tuple[str, str, str]:
    share = row.accuracy
    span = f"{words.percent(max(share.low, 0))} to {words.percent(min(share.high, 1))}" if words.known(share.low) else words.MISSING
    return words.percent(share.value, 1), span, words.percent(row.chance, 1)


def _right(row: Guessed) -> str:
    value, span, chance = _numbers(row)
    answers = words.plural(row.accuracy.num, "answer")
    return f"{value} of {answers} in {_family(row.family)} are guessed right (interval {span}); by chance {chance}"


def _family(name: str) -> str:
    return name.replace("yes_no", "yes/no")
