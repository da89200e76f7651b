"""WebDataset shards (https://github.com/webdataset/webdataset): .tar files whose members share a name up to the first dot.

    SHARD.tar: 0001.mp4, 0001.json {"caption": "..", "split": "..", "events": [{"start": 1.2, "end": 1.5, "label": ".."}]} or 0001.txt (the caption)

Videos are unpacked into the work folder, below the shard's name; nothing else of a shard is written. Members that are no plain files, or whose names
lead out of the shard, are left out.
"""

import json
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from videoperceiver.data.manifest import SPLITS
from videoperceiver.data.sources.base import DataSource, Found, Request, require_clips, seeded
from videoperceiver.data.sources.folder import VIDEO_SUFFIXES
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span

_MAX_TEXT_BYTES = 2**22


def find(request: Request) -> Found:
    """Clips of one shard or of a folder of shards.

    Raises:
        ManifestError: no shard, a damaged one, malformed JSON, or no clip.
    """
    shards = [request.root] if request.root.is_file() else sorted(request.root.rglob("*.tar"))
    if not shards:
        raise ManifestError(f"{request.root}: no .tar shard in it; name a shard or the folder that holds them")
    found, odd = Found(), []
    for shard in shards:
        name = shard.stem if request.root.is_file() else shard.relative_to(request.root).with_suffix("").as_posix()
        try:
            found.clips += _clips(shard, name, request, odd)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ManifestError(f"{shard}: damaged or cut off ({error}); fetch it again") from error
    found.leave_out("members that are no plain files or lead out of the shard", odd)
    found.clips = seeded(found.clips, request.seed)
    return require_clips(found, request.root, f"members ending in {', '.join(sorted(VIDEO_SUFFIXES))}")


def _clips(shard: Path, shard_name: str, request: Request, odd: list[str]) -> list[tuple[Sample, Path]]:
    videos: dict[str, tuple[str, Path]] = {}
    said: dict[str, dict] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if member.isdir():
                continue
            if not member.isfile() or path.is_absolute() or ".." in path.parts or "\0" in member.name:
                odd.append(f"{shard.name}: {member.name!r}")
                continue
            key = (path.parent / path.name.partition(".")[0]).as_posix()
            if path.suffix.lower() in VIDEO_SUFFIXES:
                target = request.work / shard_name / path
                _unpack(tar, member, target)
                videos[key] = (f"{shard_name}/{path.as_posix()}", target)
            elif path.suffix in (".json", ".txt"):
                said[key] = {**said.get(key, {}), **_said(tar, member, shard)}
    return [(_sample(name, said.get(key, {}), request, shard), path) for key, (name, path) in sorted(videos.items())]


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    if target.exists() and target.stat().st_size == member.size:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.part")
    source = tar.extractfile(member)
    assert source is not None
    with source, partial.open("wb") as file:
        shutil.copyfileobj(source, file)
    partial.replace(target)


def _said(tar: tarfile.TarFile, member: tarfile.TarInfo, shard: Path) -> dict[str, Any]:
    source = tar.extractfile(member)
    assert source is not None
    data = source.read(_MAX_TEXT_BYTES)
    try:
        text = data.decode("utf-8")
        row: Any = {"caption": text.strip()} if member.name.endswith(".txt") else json.loads(text)
        if not isinstance(row, dict) or row.get("split", "train") not in SPLITS:
            raise ValueError("expected an object whose split, if any, is known")
        [(float(e["start"]), float(e["end"])) for e in row.get("events", ())]
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(f"{shard}: member {member.name!r} cannot be used ({type(error).__name__}: {error}); expected caption, split, events") from error
    return row


def _sample(name: str, row: dict, request: Request, shard: Path) -> Sample:
    spans = tuple(Span(float(e["start"]), float(e["end"]), str(e.get("label", ""))) for e in row.get("events", ()))
    return Sample(name, name, "", row.get("split", request.split), "webdataset", (), str(row.get("caption", "")), spans=spans, tags={"shard": shard.name})


SOURCES = (DataSource("webdataset", "", find),)
