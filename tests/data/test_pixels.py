"""The content-addressed cache: right pixels, safe under concurrent writers, bounded, deletable at any time."""

import hashlib
import logging
import multiprocessing
import os

import numpy as np
import pytest

from videoperceiver.data.pixels import ContentCache, content_hash, content_key


def arrays(value, num_bytes=1000):
    return {"frames": np.full(num_bytes, value, np.uint8), "t_s": np.array([0.0, 0.25])}


def same(a, b):
    return a.keys() == b.keys() and all((a[name] == b[name]).all() and a[name].dtype == b[name].dtype for name in a)


def total_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*.npz"))


def test_what_was_put_is_got(tmp_path):
    cache = ContentCache(tmp_path / "not" / "yet")
    assert cache.get("ab12") is None
    cache.put("ab12", arrays(7))
    assert same(cache.get("ab12"), arrays(7))
    assert same(ContentCache(tmp_path / "not" / "yet").get("ab12"), arrays(7))


def test_the_least_recently_used_leaves_first(tmp_path):
    cache = ContentCache(tmp_path, max_bytes=8000)  # an entry takes about 1.5 kB
    for i, key in enumerate("abcde"):
        cache.put(key * 4, arrays(i))
        os.utime(cache._path(key * 4), (i, i))
    cache.get("aaaa")  # the oldest is used again
    cache.put("ffff", arrays(9))
    assert [key for key in "abcdef" if cache.get(key * 4)] == ["a", "c", "d", "e", "f"]
    assert total_bytes(tmp_path) <= 8000


def test_an_entry_larger_than_the_bound_is_not_stored(tmp_path):
    cache = ContentCache(tmp_path, max_bytes=500)
    cache.put("aaaa", arrays(1))
    assert cache.get("aaaa") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 not a zip", None])
def test_damaged_entries_are_rebuilt(tmp_path, damage, caplog):
    cache = ContentCache(tmp_path)
    cache.put("aaaa", arrays(1))
    path = cache._path("aaaa")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert cache.get("aaaa") is None
    assert "damaged" in caplog.text
    cache.put("aaaa", arrays(1))
    assert same(cache.get("aaaa"), arrays(1))


def test_flipped_bits_are_noticed(tmp_path):
    cache = ContentCache(tmp_path)
    cache.put("aaaa", arrays(1))
    path = cache._path("aaaa")
    data = bytearray(path.read_bytes())
    data[data.index(bytes([1] * 50)) + 10] ^= 1
    path.write_bytes(data)
    assert cache.get("aaaa") is None


def test_a_folder_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    cache = ContentCache(tmp_path / "file" / "cache")
    with caplog.at_level(logging.WARNING):
        assert cache.get("aaaa") is None
        cache.put("aaaa", arrays(1))
        cache.put("bbbb", arrays(1))
    assert caplog.text.count("cannot be written") == len(caplog.records) == 1


def test_entries_of_another_user_are_read(tmp_path, monkeypatch, caplog):
    cache = ContentCache(tmp_path)
    cache.put("aaaa", arrays(1))

    def refused(*_args):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "utime", refused)
    assert same(cache.get("aaaa"), arrays(1))
    assert not caplog.records


def test_abandoned_parts_are_cleared(tmp_path):
    cache = ContentCache(tmp_path)
    cache.put("aaaa", arrays(1))
    old, new = tmp_path / "aa" / ".old.part", tmp_path / "aa" / ".new.part"
    for part in (old, new):
        part.write_bytes(b"x")
    os.utime(old, (0, 0))
    ContentCache(tmp_path).put("aaab", arrays(2))
    assert (old.exists(), new.exists()) == (False, True)


def _write_many(folder, writer):
    cache = ContentCache(folder, max_bytes=60_000)
    wrong = 0
    for i in range(120):
        key = content_key("entry", i % 30)
        found = cache.get(key)
        wrong += found is not None and not same(found, arrays(i % 30))
        cache.put(key, arrays(i % 30))
        if writer == 0 and i % 40 == 39:  # deleted while in use
            for path in folder.glob("*/*.npz"):
                path.unlink(missing_ok=True)
    raise SystemExit(wrong)


def test_concurrent_writers_readers_and_deletion(tmp_path):
    workers = [multiprocessing.get_context("fork").Process(target=_write_many, args=(tmp_path, writer)) for writer in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert not list(tmp_path.rglob("*.part"))
    assert total_bytes(tmp_path) <= 60_000 * (1 + 3 / 20)


def test_hashes(tmp_path):
    (tmp_path / "images").mkdir()
    for name, data in (("2.png", b"b"), ("1.PNG", b"a"), ("notes.txt", b"x")):
        (tmp_path / "images" / name).write_bytes(data)
    assert content_hash(tmp_path / "images") == content_hash(b"ab") == hashlib.sha256(b"ab").hexdigest()
    assert content_hash(str(tmp_path / "images" / "2.png")) == content_hash(b"b")
    assert content_key("a", 1) != content_key("a", "1")
