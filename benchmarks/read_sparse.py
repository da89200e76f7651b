"""Reads few frames of a long video: how much faster than decoding it in order, and how it stands beside other readers.

A 10-minute 1280 x 720 H.264 file at 30 fps, B-frames, a key frame every 250. `ratio` is the time of decoding it in order with PyAV (frame
threads, only the wanted frames converted) over the time of `read_clip(num_frames=8)`; goal 8. It holds if also 1 fps is not slower than
decoding in order (its first minute), none of the three reads is slower than 0.95 of the fastest other reader that can be imported (decord, torchcodec,
qwen-vl-utils), and the frames are the same. Times are medians of 5, readers in turns; the processor time of each is in `detail`, because wall
time says little on a busy machine. `--quick` takes a 5-minute file, once, and 1 fps over its first 20 s, three times.
"""

import argparse
import importlib
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import av
import numpy as np

from videoperceiver.video.read import read_clip

FPS, GROUP, HEIGHT, WIDTH = 30, 250, 720, 1280
GOAL, MIN_SHARE = 8.0, 0.95


def drawn(num_frames: int, height: int, width: int) -> Iterator[np.ndarray]:
    """A pan over a textured scene with grain, so that it compresses like film."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (height // 16 + 1, (width + 4 * num_frames) // 16 + 1, 3), dtype=np.uint8)
    scene = coarse.repeat(16, 0).repeat(16, 1)
    grain = rng.integers(0, 12, (8, height, width, 1), dtype=np.uint8)
    for i in range(num_frames):
        yield scene[:height, 4 * i : 4 * i + width] + grain[i % 8]


def write_long(path: Path, seconds: int) -> None:
    """Encodes two groups of pictures and repeats their packets, which decodes like `seconds` of new film and is written at once."""
    groups: list[list[av.Packet]] = []
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": str(GROUP), "sc_threshold": "0", "bf": "3"})
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        frames = [av.VideoFrame.from_ndarray(pixels, format="rgb24") for pixels in drawn(2 * GROUP, HEIGHT, WIDTH)]
        packets = [packet for frame in [*frames, None] for packet in stream.encode(frame)]
        for packet in packets:
            if packet.is_keyframe:
                groups.append([])
            groups[-1].append(packet)
        data = [[(bytes(p), p.pts, p.dts, p.is_keyframe) for p in group] for group in groups]
        ticks = round(1 / FPS / packets[0].time_base)
        for place in range(seconds * FPS // GROUP):
            group = data[place % 2]
            shift = (place - place % 2) * GROUP * ticks
            for payload, pts, dts, is_keyframe in group:
                packet = av.Packet(payload)
                packet.pts, packet.dts, packet.time_base, packet.stream = pts + shift, dts + shift, packets[0].time_base, stream
                packet.is_keyframe = is_keyframe
                container.mux(packet)


def write_short(path: Path) -> None:
    """300 frames of 640 x 360."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "g": str(GROUP)})
        stream.height, stream.width, stream.pix_fmt = 360, 640, "yuv420p"
        for pixels in drawn(300, 360, 640):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def in_order(path: Path, wanted: np.ndarray) -> np.ndarray:
    """Plain PyAV: decodes everything up to the last wanted frame, converts the wanted ones."""
    keep, found = set(wanted.tolist()), []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for i, frame in enumerate(container.decode(stream)):
            if i in keep:
                found.append(frame.to_ndarray(format="rgb24"))
            if len(found) == len(keep):
                break
    return np.stack(found)


def with_decord(path: Path, wanted: np.ndarray) -> np.ndarray:
    """decord's reader (or eva-decord's, of the same name), its defaults."""
    import decord

    try:
        return decord.VideoReader(str(path)).get_batch(wanted.tolist()).asnumpy()
    except decord.DECORDError as error:
        raise RuntimeError(str(error)) from error


def with_torchcodec(path: Path, wanted: np.ndarray) -> np.ndarray:
    """torchcodec's reader, its defaults (an exact index of the file)."""
    from torchcodec.decoders import VideoDecoder

    return VideoDecoder(str(path), dimension_order="NHWC").get_frames_at(wanted.tolist()).data.numpy()


def with_qwen_vl_utils(path: Path, wanted: np.ndarray) -> np.ndarray:
    """The reader of Qwen's own package, before it resizes; it chooses its own backend."""
    from qwen_vl_utils import vision_process

    logging.getLogger("qwen_vl_utils").setLevel(logging.ERROR)
    read = vision_process.VIDEO_READER_BACKENDS[vision_process.get_video_reader_backend()]
    span = {} if len(wanted) in (8, 300) else {"video_start": 0.0, "video_end": float(wanted[-1]) / FPS}
    video, *_ = read({"video": str(path), "nframes": len(wanted), **span})
    return video.permute(0, 2, 3, 1).numpy()


OTHERS: dict[str, tuple[str, Callable[[Path, np.ndarray], np.ndarray]]] = {
    "decord": ("decord", with_decord),
    "torchcodec": ("torchcodec.decoders", with_torchcodec),
    "qwen-vl-utils": ("qwen_vl_utils", with_qwen_vl_utils),
}


def version_of(name: str) -> str:
    """The distribution that brings a reader, and its version."""
    distribution = metadata.packages_distributions()[OTHERS[name][0].split(".")[0]][0]
    return f"{distribution} {metadata.version(distribution)}"


def usable(short: Path) -> dict[str, Callable[[Path, np.ndarray], np.ndarray]]:
    """The other readers that import and decode here."""
    found = {}
    for name, (module, read) in OTHERS.items():
        try:
            importlib.import_module(module)
            read(short, np.arange(8))
        except (ImportError, OSError, RuntimeError) as error:
            print(f"{name}: not usable here ({type(error).__name__})")
        else:
            found[name] = read
    return found


@dataclass
class Taken:
    """What each reader needed and gave: median wall and processor seconds, a part of each frame, and why a reader failed."""

    wall_s: dict[str, float]
    processor_s: dict[str, float]
    frames: dict[str, np.ndarray]
    failed: dict[str, str]


def timed(readers: dict[str, Callable[[], np.ndarray]], repeats: int) -> Taken:
    """Times readers in turns, so that a busy moment hits all; one of the others that fails is left out and its reason kept."""
    wall: dict[str, list[float]] = {name: [] for name in readers}
    processor: dict[str, list[float]] = {name: [] for name in readers}
    results, failed = {}, {}
    for _ in range(repeats):
        for name, read in readers.items():
            if name in failed:
                continue
            start, start_processor = time.perf_counter(), time.process_time()
            try:
                frames = read()
            except (RuntimeError, OSError, IndexError) as error:
                if name in ("ours", "in order"):
                    raise
                failed[name] = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
                continue
            wall[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - start_processor)
            results[name] = frames[:, ::8, ::8].copy()  # a part of every frame: all readers' frames at once would fill the memory
            del frames
    return Taken(_medians(wall), _medians(processor), results, failed)


def _medians(values: dict[str, list[float]]) -> dict[str, float]:
    return {name: round(statistics.median(of), 4) for name, of in values.items() if of}


def compare(what: str, path: Path, ours: Callable[[], np.ndarray], wanted: np.ndarray, others: dict, repeats: int) -> dict[str, dict]:
    """Times one kind of read and checks the frames; returns wall and processor seconds by reader, and which readers failed."""
    readers = {"ours": ours, "in order": lambda: in_order(path, wanted), **{name: (lambda read=read: read(path, wanted)) for name, read in others.items()}}
    taken = timed(readers, repeats)
    assert np.array_equal(taken.frames["ours"], taken.frames["in order"]), f"{what}: our frames differ from those of a full decode"
    for name in others:
        print(f"{what}: {name} {taken.failed.get(name) or likeness(taken.frames['ours'], taken.frames[name])}")
    print(f"{what}: " + ", ".join(f"{name} {value:.3f} s" for name, value in taken.wall_s.items()))
    return {"wall_s": taken.wall_s, "processor_s": taken.processor_s, "failed": taken.failed}


def likeness(ours: np.ndarray, theirs: np.ndarray) -> str:
    """In words; colour conversion may differ by a level or two between versions of FFmpeg."""
    if ours.shape != theirs.shape:
        return f"returns OTHER FRAMES, {len(theirs)} for {len(ours)}"
    return "returns the same frames" if np.abs(theirs.astype(np.int16) - ours).max() <= 2 else "returns OTHER FRAMES"


def main() -> int:
    """Prints the figures; the last line is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="under 50 s on two idle cores")
    quick = parser.parse_args().quick
    length_s, repeats, part_s, repeats_part = (300, 1, 20, 3) if quick else (600, 5, 60, 5)
    with tempfile.TemporaryDirectory() as folder:
        long, short = Path(folder) / "long.mp4", Path(folder) / "short.mp4"
        write_long(long, length_s)
        write_short(short)
        others = usable(short)
        spread = np.floor(np.linspace(0, length_s * FPS - 1, 8) + 0.5).astype(int)
        each_second = np.arange(part_s) * FPS
        span = (0.0, float(each_second[-1]) / FPS)
        runs = {
            "8 spread frames": compare("8 spread frames", long, lambda: read_clip(long, num_frames=8).frames, spread, others, repeats),
            "1 fps": compare("1 fps", long, lambda: read_clip(long, fps=1, span=span).frames, each_second, others, repeats_part),
            "short clip": compare("short clip", short, lambda: read_clip(short).frames, np.arange(300), others, 5),
        }
    wall = {what: run["wall_s"] for what, run in runs.items()}
    in_order_over_ours = {what: round(seconds["in order"] / seconds["ours"], 2) for what, seconds in wall.items()}
    fastest = {what: min((seconds[name] for name in others if name in seconds), default=None) for what, seconds in wall.items()}
    fastest_over_ours = {what: round(value / wall[what]["ours"], 2) for what, value in fastest.items() if value is not None}
    ratio = in_order_over_ours["8 spread frames"]
    holds = ratio >= GOAL and in_order_over_ours["1 fps"] >= 1 and all(share >= MIN_SHARE for share in fastest_over_ours.values())
    file = f"{length_s * FPS} frames {WIDTH}x{HEIGHT}, key frame every {GROUP}; short clip 300 frames 640x360"
    detail = {
        "in_order_over_ours": in_order_over_ours,
        "fastest_other_over_ours": fastest_over_ours,
        "others": {name: version_of(name) for name in others},
        "file": file,
        **runs,
    }
    print(json.dumps({"name": "read_sparse", "ratio": ratio, "goal": GOAL, "holds": holds, "detail": detail}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
