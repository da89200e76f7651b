"""Writes rendered clips as H.264 files and describes them as samples."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from videoperceiver.lab import scenes, tasks
from videoperceiver.lab.difficulty import NAME, Cue, Difficulty, Split, difficulty_named
from videoperceiver.lab.render import render
from videoperceiver.types import Question, Sample
from videoperceiver.video.write import write_mp4

_SPLIT_NUMBER = {"train": 0, "validation": 1, "test": 2}


def clip_seed(seed: int, split: Split, index: int) -> int:
    """The seed of one clip; distinct for distinct (seed, split, index)."""
    return int(np.random.SeedSequence([seed, _SPLIT_NUMBER[split], index]).generate_state(1, np.uint64)[0] >> 2)


def render_dataset(
    folder: str | Path,
    *,
    num_clips: int,
    seed: int,
    split: Split,
    difficulty: str | Difficulty = "faint",
    cue: Cue = "independent",
    reliability: float = 0.88,
    families: Sequence[str] = tasks.DEMO_FAMILIES,
    list_options: bool = False,
) -> list[Sample]:
    """Render clips into `folder` and describe them.

    Calls that differ only in `cue` make the same clips but for their cues: "agree" and "conflict" give pairs, joined by `tags["pair"]`.

    Args:
        folder: created; receives `clips/000000.mp4` and on. Its name is the prefix of the sample ids, so name it uniquely.
        num_clips: how many.
        seed: of all of them.
        split: train, validation or test; splits share no event.
        difficulty: a preset's name or your own.
        cue: how static cues relate to the answers.
        reliability: probability that a cue is right where `cue` is "shortcut".
        families: question families to ask.
        list_options: spell the answer class out in each question.

    Returns:
        The samples, in order, `video` relative to `folder`. `tags`: cue, reliability, pair, difficulty, parity (of the first frame of pop
        or hit), and `hint/<family>`, what the family's cue says.
        Neither scores nor degradation are set: both are the data stage's.

    Raises:
        ConfigError: for an unknown difficulty or family.
    """
    folder, level = Path(folder), difficulty_named(difficulty)
    (folder / "clips").mkdir(parents=True, exist_ok=True)
    samples = []
    for index in range(num_clips):
        number = clip_seed(seed, split, index)
        drawn = scenes.draw(number, level, split=split, cue=cue, reliability=reliability)
        scene, video = drawn.scene, f"clips/{index:06d}.mp4"
        write_mp4(render(scene), folder / video, fps=scene.fps, crf=level.crf, pix_fmt=level.pix_fmt, preset="ultrafast")
        about = {"cue": cue, "reliability": str(reliability), "pair": f"{split}-{seed}-{index:06d}"}
        about["difficulty"] = difficulty if isinstance(difficulty, str) else "custom"
        asked = tasks.questions(scene, families, seed=number, list_options=list_options)
        samples.append(_described(folder, video, drawn, f"{folder.name}-{index:06d}", split, asked, about))
    return samples


def _described(folder: Path, video: str, drawn: scenes.Drawn, name: str, split: Split, asked: Sequence[Question], about: Mapping[str, str]) -> Sample:
    """The sample of a clip that was written."""
    scene = drawn.scene
    parity = "odd" if tasks.main_event(scene).start % 2 else "even"
    return Sample(
        id=name,
        video=video,
        sha256=hashlib.sha256((folder / video).read_bytes()).hexdigest(),
        split=split,
        source=NAME,
        t_s=tuple(frame / scene.fps for frame in range(scene.num_frames)),
        caption=tasks.caption(scene),
        questions=tuple(asked),
        keywords=tasks.phrases(scene),
        spans=tasks.spans(scene),
        seed=scene.seed,
        tags={**about, "parity": parity, **{f"hint/{family}": answer for family, answer in drawn.hints.items()}},
    )


def scene_of(sample: Sample, difficulty: Difficulty | None = None) -> scenes.Drawn:
    """The scene a sample was rendered from, drawn again.

    Args:
        sample: one of `render_dataset`'s.
        difficulty: needed where it was no preset.
    """
    level = difficulty or difficulty_named(sample.tags["difficulty"])
    split, cue = cast(Split, sample.split), cast(Cue, sample.tags["cue"])
    return scenes.draw(sample.seed, level, split=split, cue=cue, reliability=float(sample.tags["reliability"]))
