"""Verdicts written back into a manifest."""

import shutil

import pytest

from videoperceiver.data import manifest, reviews
from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import SampleError


@pytest.fixture
def reviewed(rendered, tmp_path):
    shutil.copytree(rendered.parent, tmp_path / "set")
    return tmp_path / "set" / rendered.name


def test_a_verdict_is_written_back_and_can_change(reviewed):
    before = manifest.read(reviewed)
    reviews.write(reviewed, before[1].id, "rejected", " the answer leaks ")
    found = manifest.read(reviewed)
    assert [reviews.of(s) for s in found] == ["", "rejected", *[""] * (len(found) - 2)]
    assert found[1].tags[reviews.REASON] == "the answer leaks"
    assert found[0] == before[0]
    reviews.write(reviewed, before[1].id, "accepted")
    assert reviews.REASON not in manifest.read(reviewed)[1].tags


def test_rejected_samples_are_not_used(reviewed):
    ids = [s.id for s in manifest.read(reviewed)]
    reviews.write(reviewed, ids[0], "rejected", "no event")
    assert ids[0] not in [s.id for s in ClipStore([reviewed], lambda frames: frames).samples]


def test_bad_verdicts(reviewed):
    with pytest.raises(SampleError, match="needs a reason"):
        reviews.write(reviewed, manifest.read(reviewed)[0].id, "rejected", " ")
    with pytest.raises(SampleError, match="no such sample"):
        reviews.write(reviewed, "nobody", "accepted")
