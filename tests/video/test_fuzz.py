"""1,000 damaged files: none crashes or stalls the reader, each is read or rejected with a reason that names file and cause."""

import numpy as np

from tests.video.conftest import drawn, encode
from videoperceiver.errors import SampleError
from videoperceiver.types import Clip
from videoperceiver.video.pool import DecodePool, ReadRequest

NUM_FILES = 1000


def flip_bits(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    for place in rng.integers(0, len(data), rng.integers(1, 30)):
        data[place] ^= 1 << rng.integers(8)
    return bytes(data)


def flip_header(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    for place in rng.integers(0, min(len(data), 800), rng.integers(1, 10)):
        data[place] = rng.integers(256)
    return bytes(data)


def flip_tail(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """MP4 keeps its tables at the end."""
    for place in rng.integers(max(0, len(data) - 900), len(data), rng.integers(1, 10)):
        data[place] = rng.integers(256)
    return bytes(data)


def truncate(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return bytes(data[: rng.integers(0, len(data))])


def swap_header(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    other = others[rng.integers(len(others))]
    cut = int(rng.integers(4, 1000))
    return other[:cut] + bytes(data[cut:])


def zero(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start = int(rng.integers(len(data)))
    stop = start + int(rng.integers(1, 2000))
    return bytes(data[:start]) + bytes(stop - start) + bytes(data[stop:])


def repeat_part(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start = int(rng.integers(len(data)))
    return bytes(data[: start + 500]) + bytes(data[start:])


def other_content(data: bytearray, rng: np.random.Generator, others: list[bytes]) -> bytes:
    lists = (b"#EXTM3U\nhttp://127.0.0.1:9/x.ts\n", b"ffconcat version 1.0\nfile x\n")
    choices = (b"<html><body>403</body></html>", b"text\n" * 100, rng.bytes(3000), b"", bytes(3000), *lists)
    return choices[rng.integers(len(choices))]


MUTATIONS = (flip_bits, flip_header, flip_tail, truncate, swap_header, zero, repeat_part, other_content)
BASES = {
    "a.mp4": {"g": "8", "bf": "2"},
    "b.mkv": {"g": "8", "bf": "2"},
    "c.avi": {"codec": "mpeg4", "g": "8", "bf": "2"},
    "d.webm": {"codec": "libvpx-vp9", "g": "8", "deadline": "realtime", "cpu-used": "8"},
    "e.ts": {"g": "8", "bf": "2"},
    "f.mpg": {"codec": "mpeg2video", "g": "8"},
    "g.flv": {"g": "8"},
    "h.gif": {"codec": "gif", "fps": 25, "pix_fmt": "rgb8"},
    "i.mp4": {"codec": "libx265", "x265-params": "log-level=none:keyint=8:pools=none"},
    "j.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


def test_a_thousand_damaged_files(tmp_path):
    rng = np.random.default_rng(20261121)
    bases = [encode(tmp_path / name, drawn(16, 32, 32), **{"codec": "libx264", **how}).read_bytes() for name, how in BASES.items()]
    suffixes = [name.split(".")[1] for name in BASES]
    paths = []
    for i in range(NUM_FILES):
        kind = int(rng.integers(len(bases)))
        damaged = MUTATIONS[i % len(MUTATIONS)](bytearray(bases[kind]), rng, bases)
        suffix = suffixes[kind] if rng.random() < 0.8 else suffixes[rng.integers(len(suffixes))]
        paths.append(tmp_path / f"{i:04d} it's!\n{i}.{suffix}")
        paths[-1].write_bytes(damaged)
    requests = [ReadRequest(path, [{}, {"num_frames": 4}, {"fps": 3}][i % 3], sample_id=str(i)) for i, path in enumerate(paths)]
    with DecodePool(num_workers=2, deadline_s=10, memory_mb=256) as pool:
        results = list(pool.read(requests))
    assert len(results) == NUM_FILES
    num_read = 0
    for i, (path, result) in enumerate(zip(paths, results)):
        if isinstance(result, Clip):
            num_read += 1
            assert len(result) > 0
            assert result.frames.dtype == np.uint8
            assert result.frames.shape[0] == len(result.t_s)
            assert (np.diff(result.t_s) > 0).all()
        else:
            assert isinstance(result, SampleError)
            assert result.path == str(path)
            assert result.sample_id == str(i)
            assert len(result.reason) > 10
            assert "did not end" not in result.reason, result
    assert 100 < num_read < 900
