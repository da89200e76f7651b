"""Clips decoded ahead in other processes: the same clips in the same order as without, bounded, and a bad file or a hang costs one sample."""

import os
import shutil
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from videoperceiver.data import manifest
from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import ConfigError, VideoReadError
from videoperceiver.stages import RuntimeConfig
from videoperceiver.training import runtime
from videoperceiver.training.loader import ClipLoader


def store_of(data, memory_mb=2048) -> ClipStore:
    return ClipStore([data], lambda frames: frames[:, ::2, ::2], memory_mb=memory_mb)


def loader_of(store, first=0, last=4, **settings) -> ClipLoader:
    def order(step):
        return [store.samples[i] for i in runtime.batch_indices(len(store.samples), 4, 3, step)]

    return ClipLoader(store, order, first=first, last=last, settings=RuntimeConfig(**settings))


def damaged(rendered, tmp_path):
    folder = tmp_path / "data"
    shutil.copytree(rendered.parent, folder)
    bad = manifest.read(folder / "manifest.parquet")[0]
    (folder / bad.video).write_bytes(b"not a video")
    return folder / "manifest.parquet", bad


def test_workers_change_neither_clips_nor_order_nor_what_is_bad(rendered, tmp_path):
    data, bad = damaged(rendered, tmp_path)
    seen = []
    for settings in ({"num_workers": 0}, {"num_workers": 2, "prefetch": 3}):
        with loader_of(store_of(data, memory_mb=0), first=1, **settings) as loader:
            seen.append([list(loader.clips(step)) for step in (1, 2, 3)])
            assert loader.wait_s > 0
    assert [[sample.id for sample, _ in step] for step in seen[0]] == [[sample.id for sample, _ in step] for step in seen[1]]
    pairs = [(here, there) for steps in zip(*seen, strict=True) for (_, here), (_, there) in zip(*steps, strict=True)]
    assert len(pairs) == 12
    errors = [pair for pair in pairs if isinstance(pair[0], VideoReadError)]
    assert errors
    for here, there in errors:
        assert (here.sample_id, here.path, here.reason) == (there.sample_id, there.path, there.reason)
        assert here.sample_id == bad.id
    for here, there in (pair for pair in pairs if pair not in errors):
        np.testing.assert_array_equal(here.frames, there.frames)
        np.testing.assert_array_equal(here.t_s, there.t_s)


def test_clips_are_ready_before_they_are_asked_for_and_no_more_than_allowed(rendered):
    store = store_of(rendered)
    asked = []
    whole = store.request
    store.request = lambda sample: (asked.append(sample.id), whole(sample))[1]
    with loader_of(store, num_workers=1, prefetch=6) as loader:
        next(loader.clips(0))
        until = time.monotonic() + 30
        while len(asked) < 6 and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        assert len(asked) == 6  # the first step's four, two of the next, and not one more


def test_what_is_in_memory_is_not_decoded_again(rendered):
    store = store_of(rendered)
    for sample in store.samples:
        store.clip(sample)
    store.request = lambda sample: pytest.fail(f"{sample.id} was decoded again")
    with loader_of(store, num_workers=1) as loader:
        assert sum(len(list(loader.clips(step))) for step in range(4)) == 16
        assert loader._pool.pids == []  # not even a worker was started


def test_a_hang_costs_its_sample_and_leaving_ends_the_workers(rendered):
    with loader_of(store_of(rendered), num_workers=1, prefetch=1, deadline_s=3.0) as loader:
        (_, _), *_ = loader.clips(0)
        [pid] = loader._pool.pids
        os.kill(pid, signal.SIGSTOP)
        found = [clip for _, clip in loader.clips(1)]
        hung = [clip for clip in found if isinstance(clip, VideoReadError)]
        assert len(hung) == 1
        assert "did not end within 3 s" in hung[0].reason
        [pid] = loader._pool.pids
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_clips_in_a_folder_are_not_decoded_again(rendered, tmp_path):
    data, bad = damaged(rendered, tmp_path)

    def read(num_workers, fit_key="half", folder=str(tmp_path / "clips")):
        store = ClipStore([data], lambda frames: frames[:, ::2, ::2], memory_mb=0, folder=folder, fit_key=fit_key)
        with loader_of(store, num_workers=num_workers) as loader:
            return [found for step in range(4) for _, found in loader.clips(step)]

    first = read(0, folder="")
    read(2)
    for sample in manifest.read(data):
        (data.parent / sample.video).unlink(missing_ok=True)
    num_read = sum(not isinstance(found, VideoReadError) for found in first)
    assert 0 < num_read < len(first)
    for again in (read(0), read(2)):
        for before, now in zip(first, again, strict=True):
            if isinstance(before, VideoReadError):
                assert isinstance(now, VideoReadError)
                assert now.sample_id == bad.id
            else:
                np.testing.assert_array_equal(now.frames, before.frames)
                np.testing.assert_array_equal(now.t_s, before.t_s)
                assert now.source == before.source
    assert all(isinstance(found, VideoReadError) for found in read(0, "other"))  # kept at another size: of no use here


def test_clips_of_rows_that_do_not_name_their_media_are_not_kept(rendered, tmp_path):
    unnamed = [replace(sample, sha256="") for sample in manifest.read(rendered)]
    store = ClipStore([rendered], lambda frames: frames, memory_mb=0, folder=str(tmp_path / "clips"))
    one, other = (store.clip(sample) for sample in unnamed[:2])
    assert (one.frames != other.frames).any()
    assert not (tmp_path / "clips").exists()


def test_a_file_in_place_of_the_folder_is_refused(rendered, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="which is a file; expected a folder"):
        ClipStore([rendered], lambda frames: frames, folder=str(tmp_path / "file"))
