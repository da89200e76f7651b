"""Streams that do not say when each picture is shown: exact where what they say settles it, and told as an assumption where it does not."""

import logging

import numpy as np
import pytest

from tests.video.conftest import VFR_S, drawn, encode, number_of
from videoperceiver.video.pool import DecodePool, ReadRequest
from videoperceiver.video.read import frame_times, iter_frames, read_clip

_PACKET, _VIDEO_PID = 188, 0x100


def without_times(data: bytes, keep_every: int) -> bytes:
    """An MPEG-TS whose video states the time of each k-th picture only (0: of none), as recorders that pack several pictures do."""
    stripped, num_pictures = bytearray(data), 0
    for at in range(0, len(data), _PACKET):
        packet = data[at : at + _PACKET]
        if int.from_bytes(packet[1:3], "big") & 0x5FFF != 0x4000 | _VIDEO_PID:  # the start of a picture
            continue
        header = at + 4 + (1 + packet[4] if packet[3] & 0x20 else 0)
        num_pictures += 1
        if keep_every and (num_pictures - 1) % keep_every == 0:
            continue
        stripped[header + 7] &= 0x3F
        stripped[header + 9 : header + 9 + data[header + 8]] = b"\xff" * data[header + 8]
    assert num_pictures == 60
    return bytes(stripped)


@pytest.fixture(scope="module")
def streams(tmp_path_factory):
    """Name -> (the whole file, its bytes with times of every k-th picture)."""
    folder = tmp_path_factory.mktemp("streams")
    even = encode(folder / "even.ts", drawn(60), g="20", bf="3")
    uneven = encode(folder / "uneven.ts", drawn(60), g="20", bf="3", t_s=VFR_S)
    return {"even": even, "uneven": uneven}


@pytest.mark.parametrize("keep_every", [5, 20])
def test_key_pictures_that_agree_with_the_rate_settle_every_time(streams, keep_every, caplog):
    clip = read_clip(without_times(streams["even"].read_bytes(), keep_every))
    assert [number_of(frame) for frame in clip.frames] == list(range(60))
    np.testing.assert_allclose(clip.t_s, frame_times(streams["even"]), atol=1e-9)
    assert clip.assumed == ""
    assert not caplog.records


def test_without_any_time_the_rate_is_an_assumption_that_is_told(streams, tmp_path, caplog):
    path = tmp_path / "none.ts"
    path.write_bytes(without_times(streams["even"].read_bytes(), 0))
    clip = read_clip(path, fps=5)
    assert clip.assumed == "it stores no times; pictures were placed 30 a second from 0.000 s on"
    np.testing.assert_allclose(clip.t_s, np.arange(10) / 5, atol=1e-4)
    assert [number_of(frame) for frame in clip.frames] == list(range(0, 60, 6))
    told = f"{path}: its times are assumed: {clip.assumed}"
    assert caplog.messages == [told]
    list(iter_frames(path, fps=5))
    assert caplog.messages == [told] * 2
    with DecodePool(num_workers=1) as pool:
        (pooled,) = pool.read([ReadRequest(path, {"fps": 5}, sample_id="s3")])
    assert pooled.assumed == clip.assumed
    assert caplog.messages[2:] == [f"s3: its times are assumed: {clip.assumed}"]
    assert caplog.records[0].levelno == logging.WARNING


def test_key_pictures_that_contradict_the_rate_are_kept_and_the_rest_is_told(streams):
    clip = read_clip(without_times(streams["uneven"].read_bytes(), 20))
    true = frame_times(streams["uneven"])
    np.testing.assert_allclose(clip.t_s[[0, 20, 40]], true[[0, 20, 40]], atol=1e-4)
    np.testing.assert_allclose(np.diff(clip.t_s[:21]), (true[20] - true[0]) / 20, atol=1e-4)
    assert "times of 3 of its 3 key pictures, which its rate of" in clip.assumed
    assert clip.assumed.endswith("pictures between them were spaced evenly")


def test_raw_streams_and_only_they_are_assumed_among_common_kinds(kinds):
    assert [name for name, path in kinds.items() if read_clip(path, num_frames=1).assumed] == ["h264-raw.h264"]
