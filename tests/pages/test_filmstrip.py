import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from videoperceiver.pages import filmstrip
from videoperceiver.pages.filmstrip import choose_columns, data_uri, num_columns


def decode(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def uris(html: str) -> list[str]:
    return re.findall(r'src="(data:[^"]+)"', html)


def test_small_frames_are_stored_exactly_and_large_ones_shrunk():
    small = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    assert data_uri(small).startswith("data:image/png")
    assert (decode(data_uri(small)) == small).all()
    large = np.full((720, 1280, 3), 90, np.uint8)
    assert decode(data_uri(large)).shape == (99, 176, 3)
    assert len(data_uri(large)) < 2_000


def test_v_prime_shows_the_frames_it_was_made_from_and_says_so():
    frames = np.stack([np.full((8, 8, 3), 20 * i, np.uint8) for i in range(4)])
    html = str(filmstrip(frames, [0.0, 0.25, 0.5, 0.75], [0, 1, 1, -1], keyframes_idx=[2]))
    shown = [int(decode(uri)[0, 0, 0]) for uri in uris(html)]
    assert shown == [0, 20, 40, 60, 0, 20, 20, 128]  # V, then V′: frame 2 shows frame 1, frame 3 is blank
    assert html.count('class="replaced"') == 2
    assert "← 0.25 s" in html
    assert "V′ at 0.50 s, shows the frame of 0.25 s" in html
    assert "V′ at 0.75 s, shows a blank frame" in html
    assert "V at 0.50 s, key frame" in html


def test_a_clip_without_v_prime_has_one_row():
    html = str(filmstrip(np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 2]))
    assert len(uris(html)) == 3
    assert "V′" not in html


def test_a_frame_that_was_not_kept_is_told():
    html = str(filmstrip(np.zeros((2, 8, 8, 3), np.uint8), [0, 1, 2, 3], [0, 1, 1, 3], frames_idx=[0, 2], columns=[0, 2]))
    assert html.count("not kept") == 1  # V′ at 2 s shows frame 1, of which there is no thumbnail


def test_wide_frames_get_fewer_columns():
    assert num_columns(np.zeros((1, 90, 160, 3))) == 10
    assert num_columns(np.zeros((1, 160, 90, 3))) == 16


@pytest.mark.parametrize("num_frames", [1, 9, 10, 40, 7_200])
def test_columns_hold_key_frames_sources_and_both_ends(num_frames):
    key = num_frames // 3
    source = list(range(num_frames))
    if key:
        source[key] = key - 1
    columns = choose_columns(np.arange(num_frames), source, [key], 10)
    assert len(columns) == min(num_frames, 10)
    assert columns == sorted(set(columns))
    assert {0, num_frames - 1, key, source[key]} <= set(columns)


def test_many_key_frames_leave_room_for_the_rest():
    columns = choose_columns(np.arange(100), list(range(100)), list(range(40, 60)), 10)
    assert len(columns) == 10
    assert columns[0] == 0
    assert columns[-1] == 99
    assert sum(40 <= index < 60 for index in columns) >= 5
