"""`data card` and `data export` from the shell."""

import pytest
from typer.testing import CliRunner

from tests.data.made import data_folder
from videoperceiver.cli import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return data_folder(tmp_path_factory.mktemp("cli") / "set")


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_card(folder, tmp_path):
    result = invoke("data", "card", folder)
    assert (result.exit_code, result.stdout.strip()) == (0, f"card {folder / 'index.html'}")
    result = invoke("data", "card", tmp_path)
    assert result.exit_code == 2
    assert "expected the folder of a finished `videoperceiver data build`" in result.stderr


def test_export(folder, tmp_path):
    result = invoke("data", "export", folder / "manifest.parquet", "video_r1", tmp_path / "out")
    assert result.exit_code == 0
    said = result.stdout.splitlines()
    assert said[0] == f"6 rows of 2 clips in {tmp_path / 'out' / 'Video-R1-train.json'}"
    assert "left out: 1 (a reviewer rejected the clip; e.g. plain)" in said
    assert said[-1].startswith("V' is not part of it")
    again = invoke("data", "export", folder / "manifest.parquet", "video_r1", tmp_path / "out")
    assert again.exit_code == 2
    assert "an export overwrites nothing" in again.stderr


def test_export_with_twins_and_unknown_formats(folder, tmp_path):
    result = invoke("data", "export", folder / "manifest.parquet", "ms_swift", tmp_path / "out", "--degraded", "--split", "validation")
    assert result.exit_code == 0
    assert "V'" not in result.stdout
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["degraded", "full", "media", "validation.jsonl"]
    result = invoke("data", "export", folder / "manifest.parquet", "swift", tmp_path / "other")
    assert result.exit_code == 2
    assert "format 'swift' is not known (did you mean 'ms_swift'?); expected one of ms_swift, llama_factory, video_r1" in result.stderr
