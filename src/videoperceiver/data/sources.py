"""Where stage 0's clips come from: a manifest of samples, or a folder of videos with an optional `captions.jsonl`.

A line of captions.jsonl: {"file": "a.mp4", "caption": "..", "split": "train", "events": [{"start": 1.2, "end": 1.5, "label": ".."}]},
where only `file` is required; `file` is relative to the folder, times are source seconds.
"""

import json
from pathlib import Path

import numpy as np

from videoperceiver.data.check import VIDEO_SUFFIXES
from videoperceiver.data.manifest import SPLITS, Manifest
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span

CAPTIONS = "captions.jsonl"


def found(source: Path, split: str, seed: int) -> list[tuple[Sample, Path]]:
    """Samples to prepare and their media, in a fixed order.

    Args:
        source: a `.parquet` or `.jsonl` manifest, or a folder.
        split: of clips that name none.
        seed: base of the clips' own seeds.

    Raises:
        ManifestError: nothing there, a malformed line, or a caption of a file that is missing.
    """
    if not source.is_dir():
        listed = Manifest(source)
        return [(sample, listed.resolve(sample)) for sample in listed]
    captions = _captions(source / CAPTIONS)
    files = sorted(p for p in source.rglob("*") if p.is_file() and p.suffix.lower() in VIDEO_SUFFIXES)
    if not files:
        raise ManifestError(f"{source}: no video in this folder (expected {', '.join(sorted(VIDEO_SUFFIXES))}); name the folder that holds them")
    names = [p.relative_to(source).as_posix() for p in files]
    if missing := sorted(captions.keys() - set(names)):
        raise ManifestError(f"{source / CAPTIONS}: names {missing[0]!r}, which is not in the folder; correct the line or add the file")
    return [(_sample(name, captions.get(name, {}), split, seed, i), path) for i, (name, path) in enumerate(zip(names, files, strict=True))]


def _sample(name: str, row: dict, split: str, seed: int, index: int) -> Sample:
    spans = tuple(Span(float(e["start"]), float(e["end"]), str(e.get("label", ""))) for e in row.get("events", ()))
    own_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    return Sample(name, name, "", row.get("split", split), "folder", (), row.get("caption", ""), spans=spans, seed=own_seed)


def _captions(path: Path) -> dict[str, dict]:
    if not path.exists():
        return {}
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row["file"], str) or row.get("split", "train") not in SPLITS:
                raise ValueError(f"file is {row['file']!r}, split is {row.get('split')!r}")
            [(float(e["start"]), float(e["end"])) for e in row.get("events", ())]
        except (ValueError, KeyError, TypeError) as error:
            raise ManifestError(
                f"{path}:{number}: cannot be used ({type(error).__name__}: {error}); expected an object with file and, if known, caption, split "
                f"({', '.join(SPLITS)}) and events [{{start, end, label}}] in seconds"
            ) from error
        rows[row["file"]] = row
    return rows
