"""Where stage 0's clips come from: public data sets in their own layout, tables, shards, folders, manifests. One file a source, one shape for all."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing

from videoperceiver.data.manifest import Manifest
from videoperceiver.data.media import Media
from videoperceiver.data.sources import celebv_hq, folder, hmdb51, mm_au, table, video_r1, webdataset
from videoperceiver.data.sources.base import Clips, DataSource, Found, Request
from videoperceiver.errors import ConfigError, ManifestError
from videoperceiver.plugins import suggestion

logger = logging.getLogger(__name__)

_MODULES = (folder, table, webdataset, hmdb51, celebv_hq, mm_au, video_r1)
SOURCES: dict[str, DataSource] = {source.name: source for module in _MODULES for source in module.SOURCES}


def find(request: Request, name: str = "auto") -> Found:
    """The clips of a local copy, one after the other; its terms of use are logged here, what differs from the published release once all were seen.

    Args:
        request: what is asked for.
        name: a key of `SOURCES`; "auto": a manifest (`.parquet` or `.jsonl`), or a folder of media.

    Raises:
        ConfigError: an unknown name.
        ManifestError: nothing there, malformed, or two clips of one id (some of it only while the clips are gone through).
    """
    if name == "auto" and not request.root.is_dir():
        return Found(_listed(Manifest(request.root)))
    source = SOURCES.get("folder" if name == "auto" else name)
    if source is None:
        raise ConfigError(f"source format {name!r} is unknown{suggestion(name, SOURCES)}; expected auto or one of {', '.join(SOURCES)}")
    if not request.root.exists():
        raise ConfigError(f"source {request.root}: no such file or folder; name your local copy of {source.name}")
    if source.terms:
        logger.warning("terms: %s", source.terms)
    found = source.find(request)
    found.clips = _told(_unclashed(found.clips), found, request)
    return found


def _listed(listed: Manifest) -> Iterator[tuple]:
    for sample in listed:
        yield sample, Media(str(listed.resolve(sample)))


def _unclashed(clips: Clips) -> Clips:
    """The same; refuses a second clip of an id, naming both. Ids and places wait in a temporary file of sqlite's."""
    with closing(sqlite3.connect("", isolation_level=None)) as known:
        known.execute("PRAGMA journal_mode = OFF")
        known.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, path BLOB) WITHOUT ROWID")
        known.execute("BEGIN")
        for sample, media in clips:
            key = sample.id.encode("utf-8", "surrogateescape")
            if known.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (key, os.fsencode(media.path))).rowcount == 0:
                earlier = os.fsdecode(known.execute("SELECT path FROM seen WHERE id = ?", (key,)).fetchone()[0])
                raise ManifestError(
                    f"two clips have the id {sample.id!r}: {earlier} and {media.path}. Rename one, or build them apart: ids must be unique in a manifest"
                )
            yield sample, media


def _told(clips: Clips, found: Found, request: Request) -> Clips:
    yield from clips
    for note in found.notes:
        logger.warning("%s: %s", request.root, note)
