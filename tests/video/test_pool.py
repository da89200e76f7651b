"""A hang, a crash or a bomb costs one sample, named with its reason, and nothing else."""

import os
import signal
import threading
import time

import numpy as np
import pytest

from tests.video.conftest import drawn, encode
from videoperceiver.errors import BudgetError, SampleError, VideoReadError
from videoperceiver.types import Clip
from videoperceiver.video.pool import DecodePool, ReadRequest
from videoperceiver.video.read import read_clip


def test_results_come_in_order_and_equal_read_clip(kinds):
    names = ["h264-b.mp4", "vp9.webm", "asp.avi", "h264-vfr.mkv"] * 3
    with DecodePool(num_workers=2, deadline_s=20, memory_mb=512) as pool:
        results = list(pool.read(ReadRequest(kinds[name], {"num_frames": 5, "size_px": (24, 32)}) for name in names))
    for name, result in zip(names, results):
        expected = read_clip(kinds[name], num_frames=5, size_px=(24, 32))
        np.testing.assert_array_equal(result.frames, expected.frames)
        np.testing.assert_array_equal(result.t_s, expected.t_s)
        assert result.source == expected.source


def test_bytes_and_exact_times_cross_the_pipe(kinds):
    full = read_clip(kinds["h264-vfr.mkv"])
    with DecodePool(num_workers=1, deadline_s=20, memory_mb=512) as pool:
        (clip,) = pool.read([ReadRequest(kinds["h264-vfr.mkv"].read_bytes(), {"t_s": full.t_s[1::7]})])
    np.testing.assert_array_equal(clip.t_s, full.t_s[1::7])


def test_a_bad_sample_is_an_answer(kinds, tmp_path):
    requests = [ReadRequest(tmp_path / "none.mp4", sample_id="s7"), ReadRequest(kinds["asp.mp4"]), ReadRequest(kinds["asp.mp4"], {"max_frames": 3})]
    with DecodePool(num_workers=1, deadline_s=20, memory_mb=512) as pool:
        missing, clip, many = pool.read(requests)
    assert isinstance(missing, VideoReadError)
    assert missing.sample_id == "s7"
    assert missing.path.endswith("none.mp4")
    assert "No such file" in missing.reason
    assert len(clip) == 60
    assert isinstance(many, BudgetError)


def test_a_hang_costs_one_sample(kinds):
    """A stopped process is what a decoder that never returns looks like from outside."""
    good = ReadRequest(kinds["h264-b.mp4"], {"num_frames": 2})
    with DecodePool(num_workers=1, deadline_s=3, memory_mb=512) as pool:
        assert isinstance(next(pool.read([good])), Clip)
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        started_s = time.monotonic()
        hung, after = pool.read([ReadRequest(kinds["h264-b.mp4"], sample_id="hung"), good])
        assert time.monotonic() - started_s < 30
        assert isinstance(hung, VideoReadError)
        assert hung.sample_id == "hung"
        assert "did not end within 3 s and was stopped" in hung.reason
        assert isinstance(after, Clip)
        assert pool.pids != [pid]
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_crash_costs_one_sample(kinds):
    good = ReadRequest(kinds["h264-b.mp4"], {"num_frames": 2})
    with DecodePool(num_workers=1, deadline_s=20, memory_mb=512) as pool:
        next(pool.read([good]))
        (pid,) = pool.pids
        os.kill(pid, signal.SIGSTOP)
        timer = threading.Timer(0.2, lambda: (os.kill(pid, signal.SIGSEGV), os.kill(pid, signal.SIGCONT)))
        timer.start()
        crashed, after = pool.read([ReadRequest(kinds["h264-b.mp4"], sample_id="crash"), good])
        timer.join()
    assert isinstance(crashed, VideoReadError)
    assert crashed.sample_id == "crash"
    assert "the decoder crashed (signal SIGSEGV)" in crashed.reason
    assert isinstance(after, Clip)


def test_long_decoding_meets_the_deadline(tmp_path):
    path = encode(tmp_path / "long.mkv", np.repeat(drawn(1, 480, 640), 150, axis=0), preset="ultrafast")
    with DecodePool(num_workers=1, deadline_s=0.02, memory_mb=2048) as pool:
        (result,) = pool.read([ReadRequest(path)])
    assert "did not end within 0.02 s" in result.reason


def test_memory_is_bounded(kinds, tmp_path):
    """100 frames of 1280 x 720 are 276 MB as RGB: one sample over its budget, and the next one is read."""
    path = encode(tmp_path / "large.mkv", np.repeat(drawn(1, 720, 1280), 100, axis=0), preset="ultrafast")
    with DecodePool(num_workers=1, deadline_s=30, memory_mb=200) as pool:
        large, after, part = pool.read([ReadRequest(path), ReadRequest(kinds["asp.mp4"]), ReadRequest(path, {"num_frames": 8})])
    assert isinstance(large, BudgetError)
    assert "ran out of memory; raise memory_mb" in large.reason
    assert len(after) == 60
    assert len(part) == 8


def test_a_file_that_claims_ten_million_frames(tmp_path):
    """A few kilobytes whose tables promise 10^7 pictures."""
    path = encode(tmp_path / "bomb.mp4", drawn(1))
    data = bytearray(path.read_bytes())
    # After the name: version and flags (4), then stts: entries, COUNT, delta; stsz: size of all, COUNT; stsc: entries, chunk, COUNT, ...
    for box, offset in ((b"stts", 12), (b"stsz", 12), (b"stsc", 16)):
        place = data.index(box) + offset
        data[place : place + 4] = (10_000_000).to_bytes(4, "big")
    path.write_bytes(data)
    with DecodePool(num_workers=1, deadline_s=15, memory_mb=1024) as pool:
        bomb, after = pool.read([ReadRequest(path, sample_id="bomb"), ReadRequest(encode(tmp_path / "good.mp4", drawn(3)))])
    assert isinstance(bomb, SampleError)
    assert bomb.sample_id == "bomb"
    assert len(after) == 3


def test_at_most_two_a_worker_are_read_ahead(kinds):
    asked = []

    def requests():
        for i in range(50):
            asked.append(i)
            yield ReadRequest(kinds["asp.mp4"], {"num_frames": 1})

    with DecodePool(num_workers=2, deadline_s=20, memory_mb=512) as pool:
        results = pool.read(requests())
        next(results)
        time.sleep(0.3)
        assert len(asked) <= 5
        results.close()


def test_closing_ends_every_process(kinds):
    pool = DecodePool(num_workers=2, deadline_s=20, memory_mb=512)
    list(pool.read(ReadRequest(kinds["asp.mp4"]) for _ in range(6)))
    pids = pool.pids
    assert pids
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_bad_sizes():
    with pytest.raises(ValueError, match="expected positive numbers"):
        DecodePool(num_workers=0)
