"""Where stage 0's clips come from: public data sets in their own layout, tables, shards, folders, manifests. One file a source, one shape for all."""

import logging
from pathlib import Path

from videoperceiver.data.manifest import Manifest
from videoperceiver.data.sources import celebv_hq, folder, hmdb51, mm_au, table, video_r1, webdataset
from videoperceiver.data.sources.base import DataSource, Found, Request
from videoperceiver.errors import ConfigError
from videoperceiver.plugins import suggestion

logger = logging.getLogger(__name__)

_MODULES = (folder, table, webdataset, hmdb51, celebv_hq, mm_au, video_r1)
SOURCES: dict[str, DataSource] = {source.name: source for module in _MODULES for source in module.SOURCES}


def find(request: Request, name: str = "auto") -> Found:
    """The clips of a local copy; terms of use and whatever differs from the published release are logged.

    Args:
        request: what is asked for.
        name: a key of `SOURCES`; "auto": a manifest (`.parquet` or `.jsonl`), or a folder of media.

    Raises:
        ConfigError: an unknown name.
        ManifestError: nothing there, or malformed.
    """
    if name == "auto" and not request.root.is_dir():
        return Found(_listed(request.root))
    source = SOURCES.get("folder" if name == "auto" else name)
    if source is None:
        raise ConfigError(f"source format {name!r} is unknown{suggestion(name, SOURCES)}; expected auto or one of {', '.join(SOURCES)}")
    if not request.root.exists():
        raise ConfigError(f"source {request.root}: no such file or folder; name your local copy of {source.name}")
    if source.terms:
        logger.warning("terms: %s", source.terms)
    found = source.find(request)
    found.terms = source.terms
    for note in found.notes:
        logger.warning("%s: %s", request.root, note)
    return found


def _listed(path: Path) -> list:
    listed = Manifest(path)
    return [(sample, listed.resolve(sample)) for sample in listed]
