"""Stage 0: clips -> keywords -> relevance -> key frames -> V' -> sparsification -> manifest (paper 3.1).

The output folder is the data set: `manifest.parquet` with the clips beside it under `media/` (hard links where the file system
allows, copies elsewhere), so that it can be moved as one. Pixels of V' are never stored: the manifest says which frame shows which.
"""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from videoperceiver.data import manifest
from videoperceiver.data.prepare import Preparation
from videoperceiver.data.schema import complete, from_row, to_row
from videoperceiver.data.sources import Request, find
from videoperceiver.errors import SampleError
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.scoring.keywords import load_keywords
from videoperceiver.scoring.relevance import load_relevance
from videoperceiver.stages import DataConfig
from videoperceiver.types import Sample
from videoperceiver.video.degrade import load_operator
from videoperceiver.video.pool import DecodePool

_ROWS, _WORK = "rows.jsonl", "unpacked"


def run(config: DataConfig) -> Run:
    """Builds the manifest, resuming after the last clip that was done; a bad clip is recorded and left out."""
    load_operator(config.operator)
    run = Run.open_or_create(config.output, config, stage="data")
    if run.finished:
        return run
    request = Request(Path(config.source), run.folder / _WORK, config.split, config.seed, config.frame_fps or None)
    found = find(request, config.format)
    run.write_json("source.json", {"format": config.format, "terms": found.terms, "clips": len(found.clips), "notes": found.notes})
    clips = found.clips[: config.limit or None]
    rows = run.folder / _ROWS
    done = {row["id"] for row in _read_rows(rows)} | {row["sample_id"] for row in run.rejects()}
    left = [(sample, path) for sample, path in clips if sample.id not in done]
    with (
        DecodePool(config.num_workers, config.deadline_s, config.memory_mb) as pool,
        stage_progress(f"stage 0 · {run.folder.name}", len(clips), len(done)) as advance,
    ):
        stage = Preparation(config, pool, load_keywords(config.keywords), load_relevance(config.relevance, **_relevance_options(config)))
        with rows.open("a", encoding="utf-8") as out:
            for (_, path), made in zip(left, stage.prepare(left), strict=True):
                if isinstance(made, SampleError):
                    run.reject(made)
                    run.check_rejects(config.max_reject_rate, seen=len(clips))
                else:
                    _place(path, run.folder / made.video)
                    out.write(json.dumps(to_row(made)) + "\n")
                advance()
    samples = [from_row(complete(row, str(rows))) for row in _read_rows(rows)]
    manifest.write(samples, run.folder / "manifest.parquet")
    shutil.rmtree(run.folder / _WORK, ignore_errors=True)  # what is used of it lies under media/
    run.write_json("result.json", summarize(samples, len(run.rejects())))
    run.finish()
    return run


def summarize(samples: Sequence[Sample], num_rejected: int) -> dict[str, object]:
    """Counts for the card of the data set and the command's last table; shares are None where nothing carries them."""
    shares = np.array([s.event_share for s in samples if s.event_share is not None])
    checked = [s.degradation.removed for s in samples if s.degradation is not None and s.degradation.removed is not None]
    return {
        "clips": len(samples),
        "rejected": num_rejected,
        "questions": sum(len(s.questions) for s in samples),
        "splits": dict(Counter(s.split for s in samples)),
        "with_degraded": sum(s.degradation is not None for s in samples),
        "event_removed": float(np.mean(checked)) if checked else None,
        "event_share_before": float(shares[:, 0].mean()) if len(shares) else None,
        "event_share_after": float(shares[:, 1].mean()) if len(shares) else None,
        "times_assumed": sum(s.tags.get("times") == "assumed" for s in samples),
        "frames": sum(len(s.t_s) for s in samples),
    }


def _relevance_options(config: DataConfig) -> dict[str, str]:
    return {"model": config.relevance_model} if config.relevance_model else {}


def _place(source: Path, target: Path) -> None:
    """Put a clip beside the manifest: a hard link costs no space; another file system gets a copy."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    copy = _link if os.stat(source).st_dev == os.stat(target.parent).st_dev else shutil.copy2
    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy)
    else:
        copy(source, target)


def _link(source: str | Path, target: str | Path) -> None:
    os.link(os.path.realpath(source), target)


def _read_rows(path: Path) -> Iterator[dict]:
    """Whole lines of the rows written so far; a torn last line, left by a kill, is cut off so that its clip is done again."""
    if not path.exists():
        return
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        path.write_bytes(whole)
    yield from map(json.loads, whole.splitlines())
