"""CelebV-HQ (https://celebv-hq.github.io): faces cut out of web videos, with appearance, action and timed emotions.

    ROOT/celebvhq_info.json
    ROOT/processed/M2Ohb0FAaJU_1.mp4          cut and cropped, as the release's script does; taken where it is there
    ROOT/raw/M2Ohb0FAaJU.mp4                  the whole web video; else cut and cropped from it, into the work folder

Emotions are timed within the clip, if at all; actions are not. A cut keeps fractional seconds, which the release's script drops: its own clips
may begin up to a second early.
"""

from typing import Any

from videoperceiver.data.media import Cut, Media
from videoperceiver.data.sources.base import Clips, DataSource, Notes, Request
from videoperceiver.data.sources.sheets import read_json
from videoperceiver.errors import ManifestError
from videoperceiver.types import Sample, Span

TERMS = "CelebV-HQ: non-commercial research only; no redistribution (Zhu et al., ECCV 2022)"
CLIPS = 35_666


def clips(request: Request, notes: Notes) -> Clips:
    """Clips that are there, or that can be cut; they are cut by the worker that prepares them.

    Raises:
        ManifestError: no celebvhq_info.json, or a malformed entry.
    """
    file = request.root / "celebvhq_info.json"
    info = read_json(file)
    try:
        names, entries = {kind: info["meta_info"][f"{kind}_mapping"] for kind in ("appearance", "action")}, info["clips"]
        notes.compare("clips in celebvhq_info.json", len(entries), CLIPS)
        for name, entry in entries.items():
            if "/" in name or name.startswith("."):
                raise ValueError(f"the id {name!r} is no file's name")
            sample, media = _sample(name, entry, names, request), _media(name, entry, request)
            if media is None:
                notes.leave_out("neither processed nor raw video there", name)
            else:
                yield sample, media
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{file}: cannot be used ({type(error).__name__}: {error}); expected meta_info and clips as in the release") from error


def _sample(name: str, entry: dict[str, Any], names: dict[str, list[str]], request: Request) -> Sample:
    attributes, words = entry["attributes"], {}
    for kind, mapping in names.items():
        words[kind] = [word.replace("_", " ") for word, flag in zip(mapping, attributes[kind], strict=True) if flag]
    emotion = attributes["emotion"]
    spans = tuple(Span(float(e["start_sec"]), float(e["end_sec"]), e["emotion"]) for e in emotion["labels"]) if emotion["sep_flag"] else ()
    feelings = [span.label for span in spans] or [emotion["labels"]]
    caption = ". ".join(part for part in (", ".join(words["action"]), f"looks {', then '.join(feelings)}") if part)
    tags = {"appearance": ", ".join(words["appearance"]), "youtube": str(entry["ytb_id"])}
    return Sample(name, f"{name}.mp4", "", request.split, "celebv_hq", (), caption, spans=spans, tags=tags)


def _media(name: str, entry: dict[str, Any], request: Request) -> Media | None:
    duration, bbox = entry["duration"], entry["bbox"]
    top, bottom, left, right = (float(bbox[side]) for side in ("top", "bottom", "left", "right"))
    if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
        raise ValueError(f"the box {bbox} leaves the picture")
    span = (float(duration["start_sec"]), float(duration["end_sec"]))
    if not 0 <= span[0] <= span[1]:
        raise ValueError(f"clip {name!r} lasts from {span[0]} to {span[1]} s")
    processed, raw = request.root / "processed" / f"{name}.mp4", request.root / "raw" / f"{entry['ytb_id']}.mp4"
    if processed.is_file():
        return Media(str(processed))
    return Media(str(request.work / f"{name}.mp4"), Cut(str(raw), span, (top, bottom, left, right))) if raw.is_file() else None


SOURCES = (DataSource("celebv_hq", TERMS, "celebvhq_info.json with processed/ID.mp4 or raw/YOUTUBE_ID.mp4", clips),)
