import numpy as np
import pytest

from tests.video.conftest import KINDS, VFR_S, drawn, encode, number_of, plain_decode
from videoperceiver.errors import BudgetError, VideoReadError
from videoperceiver.video import packets
from videoperceiver.video.read import frame_times, iter_frames, probe, read_clip


@pytest.mark.parametrize("name", KINDS)
def test_full_read_equals_plain_decode(kinds, name):
    clip = read_clip(kinds[name])
    expected, _ = plain_decode(kinds[name])
    np.testing.assert_array_equal(clip.frames, expected)
    assert (np.diff(clip.t_s) > 0).all()
    assert [number_of(frame) for frame in clip.frames] == list(range(60))


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "seeking"])
@pytest.mark.parametrize("name", KINDS)
def test_sparse_reads_equal_full_decode_frame_by_frame(kinds, name, cached, monkeypatch):
    full = read_clip(kinds[name])
    if not cached:
        monkeypatch.setattr(packets, "CACHE_BYTES", 0)
    requests = [{"num_frames": n} for n in (1, 2, 7, 60, 99)] + [{"fps": f} for f in (0.7, 3, 11)]
    requests += [{"t_s": full.t_s[k : k + 1]} for k in (0, 1, 19, 20, 21, 38, 40, 59)] + [{"t_s": full.t_s[2::9]}]
    requests += [{"span": (full.t_s[17], full.t_s[23])}, {"span": (full.t_s[30] + 0.001, full.t_s[50]), "fps": 5}]
    for request in requests:
        clip = read_clip(kinds[name], **request)
        idx = np.searchsorted(full.t_s, clip.t_s)
        np.testing.assert_array_equal(full.t_s[idx], clip.t_s, err_msg=str(request))
        np.testing.assert_array_equal(full.frames[idx], clip.frames, err_msg=str(request))
        if "t_s" in request:
            np.testing.assert_array_equal(clip.t_s, request["t_s"])
        if "num_frames" in request:
            assert len(clip) == min(60, request["num_frames"])


@pytest.mark.parametrize("name", ["h264-b.mp4", "h264-open.mkv", "vp9.webm", "asp.avi"])
def test_stream_gives_the_frames_of_read_clip(kinds, name):
    for request in ({}, {"fps": 4}, {"span": (0.5, 1.0)}):
        clip = read_clip(kinds[name], **request)
        pairs = list(iter_frames(kinds[name], **request))
        np.testing.assert_array_equal(np.stack([frame for frame, _ in pairs]), clip.frames)
        np.testing.assert_array_equal([at_s for _, at_s in pairs], clip.t_s)


def test_times_are_the_files_own(kinds):
    np.testing.assert_allclose(read_clip(kinds["h264-b.mp4"]).t_s, np.arange(60) / 30, atol=1e-9)
    np.testing.assert_allclose(read_clip(kinds["h264-vfr.mp4"]).t_s, VFR_S, atol=1e-4)
    np.testing.assert_allclose(read_clip(kinds["h264-vfr.mkv"]).t_s, VFR_S + 5, atol=1e-3)  # Matroska stores milliseconds
    np.testing.assert_allclose(np.diff(read_clip(kinds["h264-b.ts"]).t_s), 1 / 30, atol=1e-4)


def test_avi_with_b_frames_is_timed_in_the_order_shown(kinds):
    """AVI stores no presentation times; the k-th picture shown is at k / fps, and pictures never swap places."""
    for name in ("asp.avi", "h264-b.avi"):
        clip = read_clip(kinds[name], t_s=np.arange(0, 60, 7) / 30)
        np.testing.assert_allclose(clip.t_s, np.arange(0, 60, 7) / 30, atol=1e-9)
        assert [number_of(frame) for frame in clip.frames] == list(range(0, 60, 7))


def test_frame_on_screen_is_the_last_one_shown(tmp_path):
    path = encode(tmp_path / "slow.mp4", drawn(4), t_s=np.array([0.0, 1.0, 5.0, 6.0]))
    clip = read_clip(path, t_s=[0.0, 0.99, 1.0, 4.9, 6.01])
    assert [number_of(frame) for frame in clip.frames] == [0, 1, 3]  # one frame for two times is given once
    np.testing.assert_allclose(clip.t_s, [0, 1, 6], atol=1e-4)
    assert [number_of(frame) for frame in read_clip(path, fps=1).frames] == [0, 1, 2, 3]
    assert [number_of(frame) for frame in read_clip(path, span=(2.0, 5.5)).frames] == [1, 2]


def test_counts_spread_from_first_to_last(kinds):
    assert [number_of(frame) for frame in read_clip(kinds["h264-b.mp4"], num_frames=3).frames] == [0, 30, 59]
    assert [number_of(frame) for frame in read_clip(kinds["h264-b.mp4"], num_frames=1).frames] == [30]


def test_bytes_read_as_the_file_does(kinds):
    data = kinds["h264-b.mkv"].read_bytes()
    np.testing.assert_array_equal(read_clip(data, fps=5).frames, read_clip(kinds["h264-b.mkv"], fps=5).frames)
    assert probe(data).codec == "h264"


def test_odd_sizes(tmp_path):
    path = encode(tmp_path / "odd.webm", drawn(4, 47, 63), codec="libvpx-vp9")
    assert read_clip(path).frames.shape == (4, 47, 63, 3)


def test_resizing_keeps_aspect_or_takes_the_size_given(kinds):
    assert read_clip(kinds["h264-b.mp4"], num_frames=2, size_px=32).frames.shape == (2, 24, 32, 3)
    assert read_clip(kinds["h264-b.mp4"], num_frames=2, size_px=640).frames.shape == (2, 48, 64, 3)


def test_shrinking_averages(tmp_path):
    """A checkerboard of single pixels becomes grey; picking pixels would leave it black or white."""
    checkers = np.tile((np.indices((48, 64)).sum(0) % 2 * 255).astype(np.uint8)[None, :, :, None], (2, 1, 1, 3))
    path = encode(tmp_path / "checkers.mkv", checkers, codec="ffv1")
    small = read_clip(path, size_px=16).frames
    assert small.shape == (2, 12, 16, 3)
    assert np.abs(small.astype(float) - 127.5).max() < 12


@pytest.mark.parametrize(("degrees", "mirrored"), [(0, False), (90, False), (180, False), (-90, False), (0, True), (90, True)])
def test_rotation_metadata_turns_pictures_upright(tmp_path, degrees, mirrored):
    """Pictures come out as the display matrix maps them: counter-clockwise by its angle, then mirrored."""
    corner = np.zeros((3, 32, 48, 3), np.uint8)
    corner[:, :16, :24] = 255  # top left is white
    path = encode(tmp_path / "turned.mp4", corner, prepare=lambda stream: stream.set_display_rotation(degrees, hflip=mirrored))
    upright = np.rot90(corner[0], degrees // 90 % 4)
    upright = upright[:, ::-1] if mirrored else upright
    clip = read_clip(path)
    assert clip.frames[0].shape == upright.shape
    assert np.abs(clip.frames[0].astype(float) - upright).mean() < 8
    info = probe(path)
    assert (info.height_px, info.width_px) == upright.shape[:2]


def test_edit_list_cuts_the_start(tmp_path):
    """The edit list starts the film at its 10th picture, in the middle of a group that has to be decoded from before it."""
    path = encode(tmp_path / "edited.mp4", drawn(60), g="60", bf="3")
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12  # type, version and flags, count; then duration, media time
    media_time = int.from_bytes(data[entry + 4 : entry + 8], "big")
    data[entry + 4 : entry + 8] = (media_time + 10 * 512).to_bytes(4, "big")
    data[entry : entry + 4] = (50 * 1000 // 30).to_bytes(4, "big")
    path.write_bytes(data)
    clip = read_clip(path)
    assert [number_of(frame) for frame in clip.frames][:3] == [10, 11, 12]
    assert clip.t_s[0] == 0.0
    some = read_clip(path, t_s=clip.t_s[[0, 20]])
    np.testing.assert_array_equal(some.frames, clip.frames[[0, 20]])


def test_one_frame(tmp_path):
    path = encode(tmp_path / "one.mp4", drawn(1))
    for request in ({}, {"fps": 2}, {"num_frames": 8}, {"t_s": [0.0]}, {"span": (0, 1)}):
        assert len(read_clip(path, **request)) == 1


def test_missing_duration(tmp_path):
    """Matroska written to a pipe: no duration, no index."""

    class Pipe:
        def __init__(self):
            self.data = bytearray()

        def write(self, data):
            self.data += data
            return len(data)

    import av

    pipe = Pipe()
    with av.open(pipe, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=30, options={"g": "20"})
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for pixels in drawn(60):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    path = tmp_path / "live.mkv"
    path.write_bytes(pipe.data)
    assert probe(path).duration_s is None
    assert [number_of(frame) for frame in read_clip(path, num_frames=5).frames] == [0, 15, 30, 44, 59]


def test_missing_last_frame_is_no_reason_to_reject(tmp_path):
    path = encode(tmp_path / "cut.mp4", drawn(60), g="20", container_options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[:-8])
    clip = read_clip(path)
    assert 58 <= len(clip) <= 60
    assert [number_of(frame) for frame in clip.frames[:58]] == list(range(58))


def test_half_a_file_is_rejected(tmp_path):
    path = encode(tmp_path / "half.mp4", drawn(60), g="20", container_options={"movflags": "+faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoReadError, match="cut off: its header promises 60"):
        read_clip(path)


def test_damage_in_the_middle_is_rejected(kinds, tmp_path):
    """A picture that does not decode, with others after it: never a neighbour in its place."""
    data = bytearray(kinds["h264-b.mp4"].read_bytes())
    start = data.index(b"mdat")
    size = int.from_bytes(data[start - 4 : start], "big")
    for k in range(30, 70, 2):
        data[start + size * k // 100] ^= 0xFF
    path = tmp_path / "damaged.mp4"
    path.write_bytes(data)
    for request in ({}, {"num_frames": 6}, {"fps": 5}):
        with pytest.raises(VideoReadError, match=r"damaged at or before \d\.\d+ s"):
            read_clip(path, **request)


def test_recording_that_starts_in_the_middle(kinds, tmp_path):
    """The first key picture comes late: what lies before it cannot be decoded and is not there."""
    data = kinds["h264-b.ts"].read_bytes()
    path = tmp_path / "late.ts"
    path.write_bytes(data[188 * 12 :])
    numbers = [number_of(frame) for frame in read_clip(path).frames]
    assert 0 < numbers[0] <= 20
    assert numbers == list(range(numbers[0], 60))


def test_audio_only(tmp_path):
    import wave

    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    with pytest.raises(VideoReadError, match=r"no video stream \(it holds audio\)"):
        read_clip(tmp_path / "sound.wav")


def test_header_facts(kinds):
    info = probe(kinds["h264-b.mp4"])
    assert (info.fps, info.num_frames, info.width_px, info.height_px, info.codec, info.rotation) == (30, 60, 64, 48, "h264", 0)
    assert info.duration_s == pytest.approx(2.0)
    assert probe(kinds["h264-vfr.mkv"]).start_s == pytest.approx(VFR_S[0] + 5, abs=1e-3)


def test_times_without_decoding(kinds):
    np.testing.assert_array_equal(frame_times(kinds["vp9-vfr.webm"]), read_clip(kinds["vp9-vfr.webm"]).t_s)


def test_too_many_frames_are_refused_not_cut(kinds):
    with pytest.raises(BudgetError, match="60 frames asked for; expected at most max_frames=59"):
        read_clip(kinds["h264-b.mp4"], max_frames=59)


def test_times_outside_the_video_are_refused(kinds):
    with pytest.raises(VideoReadError, match=r"no frame at 9\.000 s; it shows 0\.000 to 1\.967 s"):
        read_clip(kinds["h264-b.mp4"], t_s=[0.5, 9.0])
    with pytest.raises(VideoReadError, match=r"no frame in 3\.000-4\.000 s"):
        read_clip(kinds["h264-b.mp4"], span=(3, 4))


@pytest.mark.parametrize(
    "request_",
    [
        {"fps": 1, "num_frames": 2},
        {"t_s": [1.0], "span": (0, 1)},
        {"fps": 0},
        {"fps": float("nan")},
        {"num_frames": 0},
        {"t_s": []},
        {"t_s": [float("nan")]},
        {"span": (2, 1)},
    ],
)
def test_impossible_requests(kinds, request_):
    with pytest.raises(ValueError, match="got"):
        read_clip(kinds["h264-b.mp4"], **request_)


def test_streaming_takes_bounded_memory(tmp_path):
    """2,000 frames are 260 MB as RGB; streaming them takes a small part of that, also when the file is too large to keep."""
    import subprocess
    import sys

    path = encode(tmp_path / "long.mkv", np.broadcast_to(drawn(1, 180, 240), (2000, 180, 240, 3)), preset="ultrafast")
    code = (
        "import resource, sys\n"
        "from videoperceiver.video import packets, read\n"
        "packets.CACHE_BYTES = 0\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "list(read.iter_frames(sys.argv[1], span=(0, 0.1)))\n"
        "before = peak()\n"
        "print(sum(1 for _ in read.iter_frames(sys.argv[1])), peak() - before)\n"
    )
    result = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True, timeout=120)
    num_frames, grown_kb = map(int, result.stdout.split())
    assert num_frames == 2000
    assert grown_kb < 40_000
