"""Stage 0: clips -> captions and questions -> rules -> keywords -> key frames -> V' -> rare events -> splits -> manifest and card (paper 3.1, 3.4).

The output folder is the data set: `manifest.parquet` with the clips beside it under `media/` (hard links where the file system
allows, copies elsewhere), so that it can be moved as one. Pixels of V' are never stored: the manifest says which frame shows which.

Each step reads the rows of the one before and appends its own, so that a killed build goes on where it was and ends in the same manifest, and no step holds
more than a few rows:

    found.jsonl       what the source has                  (written whole, or again)
    annotated.jsonl   the same with captions and questions (only with an annotator)
    prepared.jsonl    rows, rejects and what was dropped   (made by the workers, here or elsewhere)
    manifest.parquet  the rows that stay, and the files that tell of the others: rejects.jsonl, dropped.jsonl, result.json, index.html
"""

import json
import shutil
import time
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from videoperceiver.data.annotate import labels_of, load_annotator, spend
from videoperceiver.data.annotating import annotated
from videoperceiver.data.assemble import assemble
from videoperceiver.data.card import write_card
from videoperceiver.data.executors import Row, run_tasks
from videoperceiver.data.journal import Journal, rows_of
from videoperceiver.data.outcomes import Outcome, Task, error_of
from videoperceiver.data.prepare import make_worker
from videoperceiver.data.sources import Request, find
from videoperceiver.errors import SampleError
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.stages import DataConfig
from videoperceiver.video.degrade import load_operator

FOUND, ANNOTATED, PREPARED, WORK = "found.jsonl", "annotated.jsonl", "prepared.jsonl", "unpacked"


def run(config: DataConfig) -> Run:
    """Builds the manifest, resuming after the last clip that was done; a bad clip is recorded and left out."""
    load_operator(config.operator)
    run = Run.open_or_create(config.output, config, stage="data")
    if run.finished:
        return run
    number = _find(run, config)
    rows = run.folder / FOUND
    if config.annotate.method != "none":
        _annotate(run, config, number)
        rows = run.folder / ANNOTATED
    _prepare(run, config, rows, number)
    began_s = time.process_time()
    result = assemble(run, config, run.folder / PREPARED)
    shutil.rmtree(run.folder / WORK, ignore_errors=True)  # what is used of it lies under media/
    run.write_json("result.json", result)
    if result["clips"]:
        write_card(run.folder / "manifest.parquet", run.folder)
    result["seconds"]["assemble"] = round(time.process_time() - began_s, 3)
    run.write_json("result.json", result)
    run.finish()
    return run


def _find(run: Run, config: DataConfig) -> int:
    """Writes down what the source has, once; returns how many clips."""
    if (run.folder / "source.json").exists():
        return sum(1 for _ in rows_of(run.folder / FOUND))
    split = "" if config.shares else config.split
    request = Request(Path(config.source).absolute(), (run.folder / WORK).absolute(), split, config.seed, config.frame_fps or None)
    found = find(request, config.format)
    (run.folder / FOUND).unlink(missing_ok=True)
    with Journal(run.folder / FOUND) as journal, stage_progress(f"find · {run.folder.name}", config.limit or None) as advance:
        for sample, media in islice(found.clips, config.limit or None):
            journal.add(Task(sample, media).to_json())
            advance()
    notes = [*found.notes, *([f"the first {config.limit} clips; what follows was not looked at"] if journal.num_rows == config.limit else [])]
    run.write_json("source.json", {"format": config.format, "terms": found.terms, "clips": journal.num_rows, "notes": notes})
    return journal.num_rows


def _annotate(run: Run, config: DataConfig, number: int) -> None:
    """Writes captions and questions for the clips that were not come to yet."""
    with Journal(run.folder / ANNOTATED) as journal:
        if journal.num_rows == number:
            return
        labels = labels_of(Task.from_json(row).sample for row in rows_of(run.folder / FOUND))
        annotator = load_annotator(config.annotate, run.folder / "answers", labels)
        assert annotator is not None
        told = run.folder / "annotate.json"
        earlier = json.loads(told.read_text(encoding="utf-8")) if told.exists() else {}
        with closing(rows_of(run.folder / FOUND)) as rows, stage_progress(f"annotate · {run.folder.name}", number, journal.num_rows) as advance:
            tasks = (Task.from_json(row) for row in islice(rows, journal.num_rows, None))
            try:
                with closing(annotated(tasks, annotator, config)) as written:
                    for task in written:
                        journal.add(task.to_json())
                        advance()
                        if task.error is not None:  # before more is paid for
                            run.reject(error_of(task.error, task.sample.id))
                            run.check_rejects(config.max_reject_rate, seen=number)
            finally:
                run.write_json(told.name, spend(annotator, earlier))


def _prepare(run: Run, config: DataConfig, rows: Path, number: int) -> None:
    """Prepares the clips that were not come to yet."""
    for row in rows_of(run.folder / PREPARED):
        _told(run, config, row, number)
    with (
        Journal(run.folder / PREPARED) as journal,
        closing(rows_of(rows)) as waiting,
        stage_progress(f"prepare · {run.folder.name}", number, journal.num_rows) as advance,
    ):
        if journal.num_rows == number:
            return
        outcomes = run_tasks(
            config.executor,
            make_worker,
            str((run.folder / "config.yaml").absolute()),
            islice(waiting, journal.num_rows, None),
            died=_died,
            num_workers=config.runtime.num_workers,
            chunk=config.runtime.chunk,
        )
        with closing(outcomes):  # too many rejects end it early, and its workers with it
            for row in outcomes:
                journal.add(row)
                _told(run, config, row, number)
                advance()


def _told(run: Run, config: DataConfig, row: Row, number: int) -> None:
    """Records a reject, and stops where there are too many."""
    if row["error"] is not None:
        reject = Outcome.from_json(row).reject
        assert reject is not None
        run.reject(reject)
        run.check_rejects(config.max_reject_rate, seen=number)


def _died(row: Row, ending: str) -> dict[str, Any]:
    """The outcome of a clip that kills the processes that prepare it."""
    task = Task.from_json(row)
    return Outcome.rejected(task, SampleError(f"preparing it ended three processes ({ending}); it needs too much memory, or a library fails on it")).to_json()
