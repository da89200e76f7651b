"""The last step of the build: which of the prepared rows stay, in which split, and what there is to tell of all of them.

Two passes over prepared.jsonl: the first compares clips with earlier ones and with benchmarks, and groups them for the splits; the second writes. Both follow
from the file alone, in its order, so that a build that was killed here, or prepared elsewhere, ends in the same manifest. Of a row that was passed its id
and hashes are remembered, and its groups where splits are made, nothing else.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from videoperceiver.data import manifest
from videoperceiver.data.card.facts import Facts
from videoperceiver.data.comparing import Decision, compare
from videoperceiver.data.journal import rows_of
from videoperceiver.data.outcomes import Outcome
from videoperceiver.data.validate import Dropped, rule_table
from videoperceiver.runs import Run
from videoperceiver.stages import DataConfig
from videoperceiver.types import Sample

MANIFEST, DROPPED, DECIDED = "manifest.parquet", "dropped.jsonl", ".decided.jsonl"
_MARKS = ("duplicate_of", "benchmark")


def assemble(run: Run, config: DataConfig, prepared: Path) -> dict[str, Any]:
    """Writes manifest.parquet and dropped.jsonl; returns what result.json says.

    Args:
        run: of the stage.
        config: its config.
        prepared: outcomes in source order.

    Raises:
        ManifestError: a row that no manifest takes, or a benchmark's index that cannot be read.
    """
    comparison = compare(_outcomes(prepared), config, run.folder / DECIDED)
    facts, seconds, unused = Facts(), Counter[str](), set[str]()
    with (run.folder / f".{DROPPED}.part").open("w", encoding="utf-8") as dropped:

        def staying() -> Iterator[Sample]:
            for outcome, decision in zip(_outcomes(prepared), comparison, strict=comparison.decided is not None):
                seconds.update(outcome.seconds)
                gone = decision.dropped
                for item in (*outcome.dropped, *((gone,) if gone else ())):
                    dropped.write(json.dumps(item.to_row()) + "\n")
                if outcome.sample is None:
                    continue
                if gone:
                    unused.add(outcome.sample.video)
                    continue
                sample = _decided(outcome.sample, decision, comparison.splits)
                unused.discard(sample.video)
                facts.add(sample)
                yield sample

        manifest.write(staying(), run.folder / MANIFEST)
    (run.folder / f".{DROPPED}.part").replace(run.folder / DROPPED)
    (run.folder / DECIDED).unlink(missing_ok=True)
    for video in unused:
        _remove(run.folder / video)
    kept = {"caption": facts.captions, "question": facts.questions, "span": facts.spans, "sample": facts.clips}
    rules = rule_table((Dropped(**row) for row in rows_of(run.folder / DROPPED)), kept, config.validate)
    return {
        **_told(facts),
        "rejected": len({reject["sample_id"] for reject in run.rejects()}),
        "duplicates": comparison.counts["duplicate"],
        "overlaps": comparison.counts["benchmark"],
        "marked": {name: comparison.counts[name] for name in _MARKS if comparison.counts[name]},
        "rules": [{"rule": row.rule, "says": row.says, "checked": row.checked, "dropped": row.dropped, "example": row.example} for row in rules],
        "seconds": {phase: round(value, 3) for phase, value in seconds.items()},
        "annotate": _spent(run.folder / "annotate.json"),
    }


def _told(facts: Facts) -> dict[str, Any]:
    """Of the rows that stay; shares are None where nothing carries them."""
    return {
        "clips": facts.clips,
        "captions": facts.captions,
        "questions": facts.questions,
        "splits": {name: split.clips for name, split in facts.splits.items()},
        "with_degraded": facts.degraded,
        "event_removed": facts.removed / facts.checked if facts.checked else None,
        "event_share_before": facts.share_before.mean,
        "event_share_after": facts.share_after.mean,
        "times_assumed": facts.assumed,
        "frames": int(facts.frames.total),
    }


def _outcomes(prepared: Path) -> Iterator[Outcome]:
    return (Outcome.from_json(row) for row in rows_of(prepared))


def _decided(sample: Sample, decision: Decision, splits: Mapping[str, str]) -> Sample:
    """With its split and its marks."""
    marks = decision.marks
    return replace(sample, split=splits.get(sample.id, sample.split), tags={**sample.tags, **marks} if marks else sample.tags)


def _remove(media: Path) -> None:
    if media.is_dir():
        shutil.rmtree(media)
    else:
        media.unlink(missing_ok=True)


def _spent(path: Path) -> Mapping[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
