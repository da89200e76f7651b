"""data/fingerprints.py: what shows the same hashes alike, what does not does not, and the search is exact."""

import pickle
import zipfile
from itertools import combinations

import numpy as np
import pytest
from scipy.fft import dctn
from tests.data.drawn import changed, scene

from videoperceiver.data.fingerprints import FLAT, Fingerprints, containment, distance, fingerprint, motion, num_frames
from videoperceiver.errors import ManifestError
from videoperceiver.video.read import read_clip

NUM_SCENES = 12


@pytest.fixture(scope="module")
def scenes():
    return [scene(seed) for seed in range(NUM_SCENES)]


def hashes_of(path, count=12):
    return fingerprint(read_clip(path, num_frames=count, size_px=64).frames)


def test_a_hash_is_the_signs_of_low_frequencies_against_their_median():
    frame = scene(3, 1, 32, 32)[0]
    grey = (frame.astype(np.int64) @ [19595, 38470, 7471] + 0x8000) >> 16  # ITU-R 601, as Pillow rounds it
    low = dctn(grey.astype(float), norm="ortho")[:8, :8].ravel()
    median = np.median(low[1:])
    by_hand = sum(1 << (63 - i) for i in range(1, 64) if low[i] > median)
    assert fingerprint(frame[None]).tolist() == [by_hand]
    assert by_hand.bit_count() in (31, 32)


def test_frames_without_contrast_are_flat_and_compared_with_nothing():
    shown = fingerprint(scene(0, 4))
    black = fingerprint(np.zeros((4, 48, 64, 3), np.uint8))
    assert (black == FLAT).all()
    assert (fingerprint(np.full((1, 48, 64, 3), 255, np.uint8)) == FLAT).all()
    assert (shown != FLAT).all()
    assert distance(black, black) == np.inf
    assert containment(black, shown, 0.5) == np.inf
    faded = np.concatenate((black[:2], np.repeat(shown[:1], 6)))
    assert distance(faded, np.repeat(shown[:1], 8)) == shown[:1].tolist()[0].bit_count() * 2 / 8  # two positions as far as by chance


def test_copies_are_near_and_other_scenes_are_not(scenes, clip_file):
    """Encoded anew at other sizes and bitrates, brightened, trimmed: never further than 10 bits; other scenes never nearer than 14."""
    first = [hashes_of(clip_file(frames, name=f"{i}.mp4", crf=18, pix_fmt="yuv420p")) for i, frames in enumerate(scenes)]
    copies = {"small": {"scale": 0.5}, "bright": {"brightness": 25}, "trimmed": {"crop": 0.02}, "all": {"scale": 0.6, "brightness": 15, "crop": 0.02}}
    for name, change in copies.items():
        for i, frames in enumerate(scenes[:6]):
            copy = hashes_of(clip_file(changed(frames, **change), name=f"{i}-{name}.mp4", crf=34, pix_fmt="yuv420p"))
            assert distance(first[i], copy) <= 7, (name, i)
            assert containment(first[i], copy, 0.6) <= 10, (name, i)
    for a, b in combinations(first, 2):
        assert distance(a, b) > 12
        assert containment(a, b, 0.6) >= 14


def test_containment_by_hand():
    """Five frames, three of them in the other within 1, 0 and 4 bits, out of ten that share no bit with anything."""
    other = np.array([0b1111 << (4 * i) for i in range(10)], np.uint64)
    ours = np.array([0b1110, 0b1111 << 4, 0, 0b1 << 60, 0b11 << 62], np.uint64)  # the third is flat; the last two are 5 and 6 bits off
    assert containment(ours, other, 0.25) == 0  # one of four frames
    assert containment(ours, other, 0.5) == 1
    assert containment(ours, other, 0.75) == 5
    assert containment(ours, other, 1.0) == 5  # the other's frames are found in ours within 5 bits, ours in it within 6
    assert containment(other, ours, 0.5) == containment(ours, other, 0.5)
    assert containment(ours[:3], other, 0.5) == np.inf  # two frames show something: too few


def test_a_clip_cut_out_of_a_longer_video_is_found_in_it_and_the_other_way_round():
    long = scene(1, 120)
    cut, other = long[40:64], scene(2, 24)
    index = Fingerprints(share=0.6, max_bits=10)
    index.add("black", fingerprint(np.zeros((8, 32, 32, 3), np.uint8)))
    index.add("other", fingerprint(other))
    index.add("long", fingerprint(long[::4]))
    name, bits = index.nearest(fingerprint(cut[::3]))
    assert (name, bits <= 4) == ("long", True)
    short = Fingerprints()
    short.add("other", fingerprint(other))
    short.add("cut", fingerprint(cut[::3]))
    assert short.nearest(fingerprint(long[::4]))[0] == "cut"
    half = np.concatenate((cut[::6], scene(5, 40)[::4]))  # 4 of its 14 frames: too few of its own, and of the long one
    assert index.nearest(fingerprint(half)) is None


def test_the_search_equals_the_comparison_one_by_one(monkeypatch):
    rng = np.random.default_rng(0)
    videos = [rng.integers(1, 2**63, rng.integers(1, 30), dtype=np.uint64) for _ in range(200)]
    for block in (2_000_000, 64):  # one block of frames, or many
        monkeypatch.setattr("videoperceiver.data.fingerprints._BLOCK", block)
        index = Fingerprints(share=0.5, max_bits=9)
        for i, video in enumerate(videos):
            index.add(f"v{i}", video)
        for i in range(0, 200, 7):
            flips = np.uint64(1) << rng.integers(0, 63, len(videos[i])).astype(np.uint64)
            asked = (videos[i] ^ flips)[: max(3, len(videos[i]) // 2)]
            by_hand = [(containment(asked, video, 0.5), j) for j, video in enumerate(videos)]
            best = min(by_hand)
            assert index.nearest(asked) == ((f"v{best[1]}", best[0]) if best[0] <= 9 else None)
    assert Fingerprints().nearest(videos[3]) is None


def test_the_first_of_equals_wins():
    index = Fingerprints()
    for name in ("b", "a", "c"):
        index.add(name, fingerprint(scene(4, 8)))
    assert index.nearest(fingerprint(scene(4, 8))) == ("b", 0.0)


def test_saved_and_loaded_it_is_the_same(tmp_path):
    index = Fingerprints()
    for seed in range(3):
        index.add(f"folder/ü {seed}.mp4", fingerprint(scene(seed, 8 + seed)))
    index.add("black", fingerprint(np.zeros((8, 32, 32, 3), np.uint8)))
    index.save(tmp_path / "new" / "index.npz")
    loaded = Fingerprints.load(tmp_path / "new" / "index.npz", share=0.7, max_bits=5)
    assert loaded.ids == index.ids
    assert all((a == b).all() for (_, a), (_, b) in zip(index.items(), loaded.items(), strict=True))
    assert (loaded.share, loaded.max_bits) == (0.7, 5)
    assert loaded.nearest(fingerprint(scene(1, 9)))[0] == "folder/ü 1.mp4"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["index.npz"]


@pytest.mark.parametrize("content", [b"", b"no zip", "zip", "pickle", "version"])
def test_an_index_that_is_none_is_refused_by_name(tmp_path, content):
    path = tmp_path / "index.npz"
    if content == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "a")
    elif content == "pickle":
        np.savez(path, names=np.array([{"a": 1}], dtype=object), lengths=np.zeros(0), hashes=np.zeros(0))
    elif content == "version":
        names = np.frombuffer(b'{"version": 99, "ids": []}', np.uint8)
        np.savez(path, names=names, lengths=np.zeros(0, np.int64), hashes=np.zeros(0, np.uint64))
    else:
        path.write_bytes(content or pickle.dumps("code"))
    with pytest.raises(ManifestError, match="data index"):
        Fingerprints.load(path)
    with pytest.raises(ManifestError, match="no such index"):
        Fingerprints.load(tmp_path / "gone.npz")


def test_what_is_hashed_must_be_frames():
    for wrong in (np.zeros((0, 8, 8, 3), np.uint8), np.zeros((4, 8, 8), np.uint8), np.zeros((4, 8, 8, 3))):
        with pytest.raises(ValueError, match=r"expected \(n, H, W, 3\) uint8"):
            fingerprint(wrong)


def test_motion_is_what_changes_and_not_what_is_shown():
    moving, brighter = scene(0), changed(scene(0), brightness=20)
    assert np.corrcoef(motion(moving), motion(brighter))[0, 1] > 0.95
    assert not motion(np.repeat(moving[:1], 12, axis=0)).any()
    flash = np.repeat(moving[:1], 12, axis=0)
    flash[5:7] = np.clip(flash[5:7].astype(int) + 40, 0, 255)
    assert np.abs(motion(flash)).max() > 60


@pytest.mark.parametrize(("duration_s", "count"), [(0.0, 8), (2.0, 8), (10.0, 40), (3_600.0, 512), (float("inf"), 512)])
def test_how_many_frames_stand_for_a_video(duration_s, count):
    assert num_frames(duration_s) == count


def test_real_clips_are_told_apart(shared_dir):
    """One second of a clip is found in the whole of it; of other places nothing is nearer than 14 bits."""
    names = ["mma_pool_cleaning.mp4", "mma_pool_1s.mp4", "cot_bear.mp4", "cot_cat.mp4", "ntu_drink_water.mp4", "sk_carphone.mp4", "asl_no.mkv"]
    found = {name: hashes_of(shared_dir / "clips" / name, 40 if name == names[0] else 8) for name in names}
    assert containment(found[names[0]], found[names[1]], 0.6) <= 10
    assert all(containment(found[a], found[b], 0.6) >= 14 for a, b in combinations(names[1:], 2))
