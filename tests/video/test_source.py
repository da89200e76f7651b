"""What is no video is refused at once, with a reason, and nothing but the file itself is ever opened."""

import os
import shutil

import numpy as np
import pytest

from tests.video.conftest import drawn, encode
from videoperceiver.errors import VideoReadError
from videoperceiver.video.read import iter_frames, probe, read_clip


def refused(path, match):
    for read in (read_clip, probe, lambda source: list(iter_frames(source))):
        with pytest.raises(VideoReadError, match=match) as caught:
            read(path)
        assert os.fsdecode(path).encode(errors="replace") in caught.value.path.encode(errors="replace")


def test_missing(tmp_path):
    refused(tmp_path / "none.mp4", "No such file")


def test_fifo_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    refused(tmp_path / "pipe.mp4", "is a named pipe; expected a regular file")


def test_device(tmp_path):
    refused("/dev/zero", "is a device")


def test_symlink_loop(tmp_path):
    (tmp_path / "a.mp4").symlink_to(tmp_path / "b.mp4")
    (tmp_path / "b.mp4").symlink_to(tmp_path / "a.mp4")
    refused(tmp_path / "a.mp4", "symbolic links")


def test_empty_folder(tmp_path):
    refused(tmp_path, "is a folder that holds no image")
    with pytest.raises(VideoReadError, match="name a video file"):
        read_clip(tmp_path, frame_fps=25)
    (tmp_path / "1.png").touch()
    refused(tmp_path, "folder of images, whose rate must be given")


def test_empty_file(tmp_path):
    (tmp_path / "empty.mp4").touch()
    refused(tmp_path / "empty.mp4", "is empty")
    with pytest.raises(VideoReadError, match="is empty"):
        read_clip(b"")


def test_unreadable(tmp_path):
    path = encode(tmp_path / "locked.mp4", drawn(2))
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root reads everything
    try:
        refused(path, "Permission denied")
    finally:
        os.seteuid(user)


def test_nul_in_a_name():
    with pytest.raises(VideoReadError, match="null byte"):
        read_clip("a\0b.mp4")


@pytest.mark.parametrize(
    "text", ["plain text\n" * 500, "<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 20, "{}", "1\n00:00:00,000 --> 00:00:01,000\nhi\n\n" * 9]
)
def test_text_is_no_video(tmp_path, text):
    """FFmpeg would draw a text file as pictures of a terminal."""
    for suffix in (".mp4", ".txt", ".srt"):
        path = tmp_path / f"text{suffix}"
        path.write_text(text)
        refused(path, "expected a video FFmpeg can decode")


def test_playlists_open_nothing(tmp_path):
    """A manifest's file must not lead to other files or to the network."""
    other = encode(tmp_path / "other.mp4", drawn(3))
    playlists = {
        "list.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n",
        "list.ffconcat": f"ffconcat version 1.0\nfile {other.name}\n",
        "list.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        "list.mpd": f'<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><BaseURL>{other}</BaseURL></Period></MPD>',
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        refused(tmp_path / name, "expected a video FFmpeg can decode|refers to another file")


def test_wrong_extension_does_not_matter(kinds, tmp_path):
    for name in ("clip.txt", "clip.png", "clip.m3u8", "clip.avi", "clip"):
        path = tmp_path / name
        shutil.copy(kinds["h264-b.mkv"], path)
        assert len(read_clip(path)) == 60


ODD_NAMES = [
    "a b.mp4",
    'it\'s "it".mp4',
    "two\nlines.mp4",
    "wow!.mp4",
    "日本語 ü 🎬.mp4",
    "-rf.mp4",
    "%03d.mp4",
    "a#b?c=d&e.mp4",
    "http:x.mp4",
    "concat:a|b.mp4",
    "pipe:0",
    "$(x)`y`.mp4",
    b"\xff\xfe.mp4",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=repr)
def test_odd_names(kinds, tmp_path, name, monkeypatch):
    path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
    shutil.copy(kinds["h264-b.mkv"], path)
    clip = read_clip(os.fsdecode(path), num_frames=2)
    assert len(clip) == 2
    monkeypatch.chdir(tmp_path)
    assert len(read_clip(os.fsdecode(name), num_frames=2)) == 2


def test_metadata_in_another_encoding(kinds, tmp_path):
    """HMDB51's files hold Latin-1 metadata, on which PyAV raises by default."""
    path = encode(tmp_path / "latin.mkv", drawn(2), prepare=lambda stream: stream.metadata.update(title="TITLEHERE"))
    data = path.read_bytes()
    assert b"TITLEHERE" in data
    path.write_bytes(data.replace(b"TITLEHERE", b"\xe9\xe8\xff\xfe\xe0HERE"))
    assert len(read_clip(path)) == 2


def test_picture_bomb_is_refused_before_it_is_decoded(tmp_path):
    """30000 x 30000 in 110 kB: 2.7 GB as RGB."""
    import resource
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixels = zlib.compress(bytes(30000 * (1 + 30000 // 8)), 1)
    header = struct.pack(">IIBBBBB", 30000, 30000, 1, 0, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(VideoReadError):
        read_clip(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 300_000


def test_image_folder(tmp_path):
    """MM-AU: numbered images from 1; a missing one leaves a gap in time and shifts nothing."""
    from PIL import Image

    frames = drawn(12)
    for number in (1, 2, 3, 5, 10, 11):
        Image.fromarray(frames[number]).save(tmp_path / f"{number:06d}.png")
    (tmp_path / "notes.txt").write_text("not an image")
    clip = read_clip(tmp_path, frame_fps=10)
    np.testing.assert_allclose(clip.t_s, [0, 0.1, 0.2, 0.4, 0.9, 1.0])
    np.testing.assert_array_equal(clip.frames, frames[[1, 2, 3, 5, 10, 11]])
    np.testing.assert_array_equal(read_clip(tmp_path, frame_fps=10, t_s=[0.3]).frames, frames[[3]])
    np.testing.assert_array_equal(read_clip(tmp_path, frame_fps=10, num_frames=2).frames, frames[[1, 11]])
    info = probe(tmp_path, frame_fps=10)
    assert (info.num_frames, info.duration_s, info.width_px, info.codec) == (6, pytest.approx(1.1), 64, "images")


def test_image_folder_with_a_bad_image(tmp_path):
    from PIL import Image

    Image.fromarray(drawn(1)[0]).save(tmp_path / "1.png")
    (tmp_path / "2.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    with pytest.raises(VideoReadError, match=r"2\.png"):
        read_clip(tmp_path, frame_fps=10)
    Image.fromarray(drawn(1, 16, 16)[0]).save(tmp_path / "2.png")
    with pytest.raises(VideoReadError, match="16 x 16 px, the first image is 64 x 48; expected one size"):
        read_clip(tmp_path, frame_fps=10)
