"""One way for all formats: questions and captions of a split as the training prompt asks them, media hard-linked beside them, the folder whole or not at all.

These tools take a video file a row. V', an index map over V's frames, has no place in them, nor has the choice of frames: the tool samples the whole
file itself. On request V and V' are written as videos too, both out of the manifest's own frames, so that nothing but the key frames tells them apart.
"""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from videoperceiver.data import reviews
from videoperceiver.data.exports.media import MediaFolder
from videoperceiver.data.manifest import SPLITS, Manifest
from videoperceiver.data.trainable import untrainable
from videoperceiver.errors import ConfigError, ManifestError, RunError, SampleError
from videoperceiver.runs import explain, write_atomic
from videoperceiver.stages import CAPTION_PROMPT, IMAGE_PROMPT
from videoperceiver.types import Media, Question, Sample

ALL = "all"
"""In place of a split's name."""
MEDIA_TAGS = ("<video>", "<image>", "<audio>")
"""Where these stand in a text, the tools put media; in ours nothing but words may stand."""


@dataclass(frozen=True)
class Asked:
    """One row: what is asked of a clip, and the answer.

    Attributes:
        sample: the manifest's row.
        media: "video", "image" or "none".
        path: of its media, relative to the export; "" without.
        prompt: exactly what our own training asks.
        answer: exactly what it trains on.
        question: None for the caption.
        twins: paths of V and V' as videos, where they were asked for and the sample has V'.
    """

    sample: Sample
    media: Media
    path: str
    prompt: str
    answer: str
    question: Question | None
    twins: Mapping[str, str]

    @property
    def tagged(self) -> str:
        """The prompt after the tag that stands for its media."""
        return {"video": "<video>", "image": "<image>", "none": ""}[self.media] + self.prompt


@dataclass(frozen=True)
class ExportFormat:
    """A tool's format.

    Attributes:
        name: as it is asked for.
        file: of the rows; `{split}` is replaced.
        row: one row as the tool reads it, or in words why it has none.
        array: the file is one JSON array, else an object a line.
        extra: further files: name -> JSON value; told the name of the file of rows and the kinds of media in it.
        captions: whether captions are rows too.
    """

    name: str
    file: str
    row: Callable[[int, Asked], dict[str, Any] | str]
    array: bool
    extra: Callable[[str, set[str]], Mapping[str, Any]] = lambda file, media: {}
    captions: bool = True


@dataclass
class Exported:
    """What an export came to.

    Attributes:
        folder: where it lies.
        file: of the rows.
        clips: that have a row.
        rows: questions and captions.
        left_out: reason -> how many clips, questions or captions.
        instances: reason -> one of them.
    """

    folder: Path
    file: Path
    clips: int = 0
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    instances: dict[str, str] = field(default_factory=dict)

    def leave_out(self, reason: str, name: str) -> None:
        """Count one, and remember the first by name."""
        self.left_out[reason] += 1
        self.instances.setdefault(reason, name)


def write(form: ExportFormat, manifest_path: Path, target: Path, *, split: str = "train", degraded: bool = False) -> Exported:
    """Writes rows and media into a new folder. Rows are streamed; what has no place in the format is left out and told.

    Args:
        form: the tool's format.
        manifest_path: a manifest of stage 0, with its media beside it.
        target: a folder that does not exist yet, or is empty.
        split: of the rows, or `ALL`.
        degraded: also write V and V' of clips that have V' as videos, `full/..` and `degraded/..`, and name them in each row.

    Raises:
        ConfigError: no such split.
        ManifestError: the manifest cannot be read, is a folder, leaves its root, or has no row for this export.
        RunError: the target holds something, or cannot be written.
    """
    if split not in (*SPLITS, ALL):
        raise ConfigError(f"split is {split!r}; expected one of {', '.join((*SPLITS, ALL))}")
    if manifest_path.is_dir():
        inside = manifest_path / "manifest.parquet"
        expected = f"name {inside}" if inside.is_file() else "expected a .parquet or .jsonl manifest"
        raise ManifestError(f"{manifest_path}: this is a folder; {expected}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(f"{target} holds something already, and an export overwrites nothing; name a new folder")
    part = target.absolute().with_name(f".{target.name}.part")
    file = form.file.format(split=split)
    exported = Exported(target, target / file)
    try:
        shutil.rmtree(part, ignore_errors=True)  # of an export that was killed
        part.mkdir(parents=True)
        manifest = Manifest(manifest_path)
        media = _write_rows(form, _asked(form, manifest, MediaFolder(manifest, part, degraded), split, exported), part / file, exported)
        if not exported.rows:
            raise ManifestError(_nothing(manifest_path, split, exported))
        for name, value in form.extra(file, media).items():
            write_atomic(part / name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")
        part.replace(target)
    except OSError as error:
        raise RunError(explain(error, target)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return exported


def _nothing(path: Path, split: str, exported: Exported) -> str:
    reasons = "; ".join(f"{count} left out: {reason}" for reason, count in exported.left_out.items())
    return f"{path}: no question or caption of split {split!r} to export{f' ({reasons})' if reasons else ''}; name another split, or annotate the clips first"


def _asked(form: ExportFormat, manifest: Manifest, media: MediaFolder, split: str, exported: Exported) -> Iterator[Asked]:
    """What is asked of every sample of the split, its media placed."""
    for sample in manifest:
        if split not in (sample.split, ALL):
            continue
        if reviews.of(sample) == "rejected":
            exported.leave_out("a reviewer rejected the clip", sample.id)
        elif problem := untrainable(sample, captions=form.captions):
            exported.leave_out("nothing to train on, or a question without text or answer", f"{sample.id}: {problem.reason}")
        else:
            try:
                path, twins = media.add(sample)
            except SampleError as error:
                exported.leave_out("its media cannot be used", f"{sample.id}: {error.reason}")
                continue
            yield from _rows_of(form, sample, path, twins)


def _rows_of(form: ExportFormat, sample: Sample, path: str, twins: Mapping[str, str]) -> Iterator[Asked]:
    """Questions in their order, then the caption: the branches that stage 1 grows on the clip."""
    for question in sample.questions:
        yield Asked(sample, sample.media, path, question.text, question.answer, question, twins)
    if form.captions and sample.caption.strip() and sample.media != "none":
        prompt = CAPTION_PROMPT if sample.media == "video" else IMAGE_PROMPT
        yield Asked(sample, sample.media, path, prompt, sample.caption, None, twins)


def _write_rows(form: ExportFormat, rows: Iterator[Asked], path: Path, exported: Exported) -> set[str]:
    """Streams rows into the file; returns the kinds of media in it."""
    media, last = set(), ""
    with path.open("w", encoding="utf-8") as out:
        out.write("[\n" if form.array else "")
        for asked in rows:
            name = f"{asked.sample.id}, {asked.question.id if asked.question else 'caption'}"
            if any(tag in text for tag in MEDIA_TAGS for text in (asked.prompt, asked.answer)):
                exported.leave_out(f"its text holds one of {', '.join(MEDIA_TAGS)}, which the tool would take for media", name)
                continue
            row = form.row(exported.rows + 1, asked)
            if isinstance(row, str):
                exported.leave_out(row, name)
                continue
            out.write((",\n" if form.array and exported.rows else "") + json.dumps(row, ensure_ascii=False) + ("" if form.array else "\n"))
            exported.rows += 1
            exported.clips += asked.sample.id != last
            media.add(asked.media)
            last = asked.sample.id
        out.write("\n]\n" if form.array else "")
    return media
