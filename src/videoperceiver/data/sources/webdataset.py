"""WebDataset shards (https://github.com/webdataset/webdataset): .tar files whose members share a name up to the first dot.

    SHARD.tar: 0001.mp4, 0001.json {"caption": "..", "split": "..", "events": [{"start": 1.2, "end": 1.5, "label": ".."}]} or 0001.txt (the caption)

Videos are unpacked into the work folder, below the shard's name; nothing else of a shard is written. Members that are no plain files, or whose names
lead out of the shard, are left out.
"""

import json
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

from videoperceiver.data.manifest import SPLITS
from videoperceiver.data.media import Media, Member
from videoperceiver.data.sources.base import Clips, DataSource, Notes, Request
from videoperceiver.data.sources.folder import VIDEO_SUFFIXES
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span

_MAX_TEXT_BYTES = 2**22


def clips(request: Request, notes: Notes) -> Clips:
    """Clips of one shard or of a folder of shards, shard by shard; a video is unpacked by the worker that prepares it.

    Raises:
        ManifestError: no shard, a damaged one, or malformed JSON.
    """
    shards = [request.root] if request.root.is_file() else sorted(request.root.rglob("*.tar"))
    if not shards:
        raise ManifestError(f"{request.root}: no .tar shard in it; name a shard or the folder that holds them")
    for shard in shards:
        name = shard.stem if request.root.is_file() else shard.relative_to(request.root).with_suffix("").as_posix()
        try:
            yield from _clips(shard, name, request, notes)
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ManifestError(f"{shard}: damaged or cut off ({error}); fetch it again") from error


def _clips(shard: Path, shard_name: str, request: Request, notes: Notes) -> list[tuple[Sample, Media]]:
    videos: dict[str, tuple[str, Media]] = {}
    said: dict[str, dict] = {}
    with tarfile.open(shard, "r:") as tar:
        for member in tar:
            path = PurePosixPath(member.name)
            if member.isdir():
                continue
            if not member.isfile() or member.issparse() or path.is_absolute() or ".." in path.parts or "\0" in member.name:
                notes.leave_out("members that are no plain files or lead out of the shard", f"{shard.name}: {member.name!r}")
                continue
            key = (path.parent / path.name.partition(".")[0]).as_posix()
            if path.suffix.lower() in VIDEO_SUFFIXES:
                if key in videos:
                    raise ManifestError(f"{shard}: two videos have the key {key!r}: {videos[key][0]} and {path.as_posix()}; rename one of them")
                target = request.work / shard_name / path
                videos[key] = (f"{shard_name}/{path.as_posix()}", Media(str(target), Member(str(shard), member.offset_data, member.size)))
            elif path.suffix in (".json", ".txt"):
                said[key] = {**said.get(key, {}), **_said(tar, member, shard)}
    return [(_sample(name, said.get(key, {}), request, shard), media) for key, (name, media) in sorted(videos.items())]


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


SOURCES = (DataSource("webdataset", "", f"members ending in {', '.join(sorted(VIDEO_SUFFIXES))}", clips),)
