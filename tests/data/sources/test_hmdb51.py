"""HMDB51: official splits, odd names, counts."""

import pytest
from tests.data.sources.conftest import seen

from videoperceiver.config import load
from videoperceiver.data import build, manifest
from videoperceiver.errors import ManifestError
from videoperceiver.stages import DataConfig

NAMES = {
    "April_09_brush_hair_u_nm_np1_ba_goo_0.avi": 1,
    "Aussie_Brunette_Brushing_Hair_II_brush_hair_u_nm_np1_ba_goo_4.avi": 0,
    "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi": 2,
    "Kung_Fu_(1)!_[x]&+;~@_brush_hair_f_cm_np2_le_bad_1.avi": 2,
}


@pytest.fixture
def copy(put, tmp_path):
    for name in NAMES:
        put(f"brush_hair/{name}")
    splits = tmp_path / "copy" / "testTrainMulti_7030_splits"
    splits.mkdir()
    for number in (1, 2, 3):
        lines = [f"{name} {tag if number == 1 else 1} \n" for name, tag in NAMES.items()]
        (splits / f"brush_hair_test_split{number}.txt").write_text("".join(lines) + ("gone_u_nm_np1_ba_goo_0.avi 1 \n" if number == 1 else ""))
    return tmp_path / "copy"


def test_a_split_gives_its_clips_and_says_what_differs(copy, request_of):
    found = seen(request_of(), "hmdb51-1")
    names = list(NAMES)
    assert [(sample.id, sample.split) for sample, _ in found.clips] == [
        (f"brush_hair/{names[0]}", "train"),
        (f"brush_hair/{names[2]}", "test"),
        (f"brush_hair/{names[3]}", "test"),
    ]
    assert {sample.caption for sample, _ in found.clips} == {"brush hair"}
    assert "1 train clips; the published release has 3,570" in found.notes
    assert "4 clips on disk; the published release has 6,766" in found.notes
    assert "left out, listed but not there: brush_hair/gone_u_nm_np1_ba_goo_0.avi" in found.notes
    assert found.terms.startswith("HMDB51: CC BY 4.0")
    assert len(seen(request_of(), "hmdb51-2").clips) == 4


def test_odd_names_go_all_the_way_into_a_manifest(copy, tmp_path):
    overrides = [f"source={copy}", f"output={tmp_path / 'out'}", "format=hmdb51-1", "relevance=motion", "runtime.num_workers=1", "validate.duplicates=keep"]
    run = build.run(load(DataConfig, None, overrides))
    samples = manifest.read(run.folder / "manifest.parquet")
    assert [sample.split for sample in samples] == ["train", "test", "test"]
    assert all(manifest.resolve(run.folder / "manifest.parquet", sample).is_file() for sample in samples)
    assert (run.folder / "source.json").read_text().count("CC BY 4.0") == 1


@pytest.mark.parametrize(("text", "message"), [("a.avi 3\n", "tag of 0, 1 or 2"), ("a.avi\n", "NAME.avi TAG"), ("../x.avi 1\n", "NAME.avi TAG")])
def test_malformed_lines_are_named(copy, request_of, text, message):
    (copy / "testTrainMulti_7030_splits" / "brush_hair_test_split1.txt").write_text(text)
    with pytest.raises(ManifestError, match=rf"split1.txt:1: .*{message}"):
        seen(request_of(), "hmdb51-1")


def test_an_unpacked_archive_without_splits_says_what_is_missing(put, request_of):
    put("brush_hair/April_09_brush_hair_u_nm_np1_ba_goo_0.avi")
    with pytest.raises(ManifestError, match=r"no \*_test_split1.txt below it"):
        seen(request_of(), "hmdb51-1")


def test_the_released_lists_are_read(shared_dir, put, request_of, tmp_path):
    put("climb/x_u_nm_np1_ba_goo_0.avi")
    (tmp_path / "copy" / "splits").symlink_to(shared_dir / "samples" / "hmdb51" / "testTrainMulti_7030_splits")
    lists = sorted((shared_dir / "samples" / "hmdb51" / "testTrainMulti_7030_splits").glob("*_split1.txt"))
    for file in lists:
        (tmp_path / "copy" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ManifestError, match=r"no clip found.*listed but not there: .*more"):
        seen(request_of(), "hmdb51-1")
