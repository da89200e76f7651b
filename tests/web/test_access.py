"""What the page may touch."""

import pytest

from videoperceiver.errors import ConfigError, SampleError, VideoReadError
from videoperceiver.web.access import Access, check_exposure


@pytest.fixture
def access(tmp_path):
    (tmp_path / "allowed" / "runs" / "a").mkdir(parents=True)
    (tmp_path / "allowed" / "runs" / "a" / "status.json").write_text("{}")
    (tmp_path / "allowed" / "manifest.parquet").write_bytes(b"x")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    (tmp_path / "allowed" / "link.mp4").symlink_to(tmp_path / "secret.mp4")
    return Access(((tmp_path / "allowed").resolve(),), max_duration_s=5)


@pytest.mark.parametrize("given", ["../secret.mp4", "link.mp4", "/etc/passwd", "runs/../../secret.mp4", "nope", "~", "", "a\0b", "loop.mp4", "x" * 5000])
def test_nothing_outside_the_roots(access, given):
    (access.roots[0] / "loop.mp4").symlink_to("loop.mp4")
    with pytest.raises(SampleError):
        access.path(given)


def test_files_below_a_root_by_either_name(access):
    assert access.path("runs/a").name == "a"
    assert access.path(str(access.roots[0] / "runs" / "a")).name == "a"
    assert access.path(' "runs/a" ').name == "a"


def test_lists_runs_and_manifests(access):
    assert [path.rsplit("/", 1)[1] for path in access.runs()] == ["a"]
    again = access.roots[0] / "runs" / "a" / "splits" / "train.parquet"  # a card's files for `datasets` are no manifests
    again.parent.mkdir()
    again.touch()
    assert [path.rsplit("/", 1)[1] for path in access.manifests()] == ["manifest.parquet"]


def test_long_and_broken_videos_are_refused(access, clip_file, tmp_path):
    import numpy as np

    path = clip_file(np.zeros((60, 16, 16, 3), np.uint8), 4)
    with pytest.raises(SampleError, match="at most 5 s"):
        access.video(path)
    with pytest.raises(VideoReadError):
        access.video(tmp_path / "secret.mp4")


def test_other_machines_need_a_password():
    check_exposure("127.0.0.1", None)
    check_exposure("0.0.0.0", ("user", "word"))
    with pytest.raises(ConfigError, match="VIDEOPERCEIVER_WEB_AUTH"):
        check_exposure("0.0.0.0", None)
