"""CelebV-HQ (https://celebv-hq.github.io): faces cut out of web videos, with appearance, action and timed emotions.

    ROOT/celebvhq_info.json
    ROOT/processed/M2Ohb0FAaJU_1.mp4          cut and cropped, as the release's script does; taken where it is there
    ROOT/raw/M2Ohb0FAaJU.mp4                  the whole web video; else cut and cropped from it, into the work folder

Emotions are timed within the clip, if at all; actions are not. A cut keeps fractional seconds, which the release's script drops: its own clips
may begin up to a second early.
"""

from pathlib import Path
from typing import Any

from videoperceiver.data.sources.base import DataSource, Found, Request, require_clips, seeded
from videoperceiver.data.sources.sheets import read_json
from videoperceiver.errors import ManifestError, SampleError
from videoperceiver.types import Sample, Span
from videoperceiver.video.read import iter_frames
from videoperceiver.video.write import write_timed

TERMS = "CelebV-HQ: non-commercial research only; no redistribution (Zhu et al., ECCV 2022)"
CLIPS = 35_666


def find(request: Request) -> Found:
    """Clips that are there, or that can be cut.

    Raises:
        ManifestError: no celebvhq_info.json, a malformed entry, or no clip.
    """
    file = request.root / "celebvhq_info.json"
    info = read_json(file)
    found, missing, unreadable = Found(), [], []
    try:
        names, clips = {kind: info["meta_info"][f"{kind}_mapping"] for kind in ("appearance", "action")}, info["clips"]
        for name, entry in clips.items():
            if "/" in name or name.startswith("."):
                raise ValueError(f"the id {name!r} is no file's name")
            sample = _sample(name, entry, names, request)
            try:
                path = _media(name, entry, request)
            except SampleError as error:
                unreadable.append(f"{name} ({error.reason})")
                continue
            if path is None:
                missing.append(name)
            else:
                found.clips.append((sample, path))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ManifestError(f"{file}: cannot be used ({type(error).__name__}: {error}); expected meta_info and clips as in the release") from error
    found.compare("clips in celebvhq_info.json", len(clips), CLIPS)
    found.leave_out("neither processed nor raw video there", missing)
    found.leave_out("raw video cannot be cut", unreadable)
    found.clips = seeded(found.clips, request.seed)
    return require_clips(found, request.root, "celebvhq_info.json with processed/ID.mp4 or raw/YOUTUBE_ID.mp4")


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


def _media(name: str, entry: dict[str, Any], request: Request) -> Path | None:
    processed, raw = request.root / "processed" / f"{name}.mp4", request.root / "raw" / f"{entry['ytb_id']}.mp4"
    if processed.is_file():
        return processed
    if not raw.is_file():
        return None
    target = request.work / f"{name}.mp4"
    if not target.exists():
        request.work.mkdir(parents=True, exist_ok=True)
        cut(raw, target, (float(entry["duration"]["start_sec"]), float(entry["duration"]["end_sec"])), entry["bbox"])
    return target


def cut(raw: Path, target: Path, span: tuple[float, float], bbox: dict[str, float]) -> None:
    """Writes a stretch of a video, cropped; the first frame is at 0 s.

    Args:
        raw: the whole video.
        target: the file to write.
        span: (start, end) seconds of the source.
        bbox: top, bottom, left, right as shares of the picture.

    Raises:
        VideoReadError: it cannot be read, or has no frame there.
    """
    sides = [float(bbox[side]) for side in ("top", "bottom", "left", "right")]
    top, bottom, left, right = sides
    if not (0 <= top < bottom <= 1 and 0 <= left < right <= 1):
        raise ValueError(f"the box {bbox} leaves the picture")

    def cropped():
        first_s = None
        for pixels, at_s in iter_frames(raw, span=span):
            height, width = pixels.shape[:2]
            first_s = at_s if first_s is None else first_s
            yield pixels[round(top * height) : round(bottom * height), round(left * width) : round(right * width)], at_s - first_s

    write_timed(cropped(), target)


SOURCES = (DataSource("celebv_hq", TERMS, find),)
