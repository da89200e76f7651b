"""CelebV-HQ, Video-R1, tables and shards: what their rows become, what is left out, what is refused."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from tests.data.sources.conftest import seen
from tests.video.conftest import number_of

from videoperceiver.config import load
from videoperceiver.data import build, manifest
from videoperceiver.data.sources import SOURCES
from videoperceiver.errors import ConfigError, ManifestError
from videoperceiver.stages import DataConfig
from videoperceiver.types import Span
from videoperceiver.video.pool import DecodePool
from videoperceiver.video.read import read_clip

EMOTIONS = [{"emotion": "neutral", "start_sec": 0, "end_sec": 0.1}, {"emotion": "happy", "start_sec": 0.1, "end_sec": 0.4}]
INFO = {
    "meta_info": {"appearance_mapping": ["young", "wearing_hat"], "action_mapping": ["look_around", "smile"]},
    "clips": {
        "_cut_0": {
            "ytb_id": "-raw",
            "duration": {"start_sec": 0.3, "end_sec": 0.7},
            "bbox": {"top": 0.0, "bottom": 0.5, "left": 0.0, "right": 1.0},
            "attributes": {
                "appearance": [0, 1],
                "action": [1, 1],
                "emotion": {
                    "sep_flag": True,
                    "labels": EMOTIONS,
                },
            },
        },
        "there_1": {
            "ytb_id": "gone",
            "duration": {"start_sec": 5, "end_sec": 6},
            "bbox": {"top": 0, "bottom": 1, "left": 0, "right": 1},
            "attributes": {"appearance": [0, 0], "action": [0, 1], "emotion": {"sep_flag": False, "labels": "neutral"}},
        },
    },
}


@pytest.fixture
def faces(put, tmp_path):
    put("raw/-raw.mp4")
    put("processed/there_1.mp4")
    absent = {**INFO["clips"]["there_1"], "ytb_id": "absent"}
    (tmp_path / "copy" / "celebvhq_info.json").write_text(json.dumps({**INFO, "clips": {**INFO["clips"], "absent_2": absent}}))
    return tmp_path / "copy"


def test_faces_are_cut_at_fractions_of_a_second_and_cropped(faces, request_of):
    found = seen(request_of(), "celebv_hq")
    (cut, media), (there, _) = found.clips
    assert not Path(media.path).exists()  # by the worker that prepares it
    with DecodePool(num_workers=1, deadline_s=60, memory_mb=1024) as pool:
        media.make(pool, cut.id)
    assert cut.spans == (Span(0.0, 0.1, "neutral"), Span(0.1, 0.4, "happy"))
    assert cut.caption == "look around, smile. looks neutral, then happy"
    assert cut.tags == {"appearance": "wearing hat", "youtube": "-raw"}
    assert (there.caption, there.spans) == ("smile. looks neutral", ())
    clip = read_clip(media.path)
    assert clip.frames.shape[1:] == (24, 64, 3)
    assert [number_of(frame) for frame in clip.frames] == list(range(9, 22))
    np.testing.assert_allclose(clip.t_s, np.arange(13) / 30, atol=1e-4)
    assert found.notes[1:] == ["left out, neither processed nor raw video there: absent_2"]


def test_a_malformed_face_is_named(faces, request_of):
    (faces / "celebvhq_info.json").write_text(json.dumps({"clips": {}}))
    with pytest.raises(ManifestError, match="expected meta_info and clips"):
        seen(request_of(), "celebv_hq")
    entry = {**INFO["clips"]["_cut_0"], "bbox": {"top": 0, "bottom": 2, "left": 0, "right": 1}}
    (faces / "celebvhq_info.json").write_text(json.dumps({**INFO, "clips": {"x": entry}}))
    with pytest.raises(ManifestError, match="leaves the picture"):
        seen(request_of(), "celebv_hq")


def test_questions_over_one_video_are_gathered(put, request_of, tmp_path):
    put("star/a.mp4")
    choice = {"problem_id": 2, "problem": "What?", "data_type": "video", "problem_type": "multiple choice", "options": ["A. x", "B. y"], "data_source": "STAR"}
    choice |= {"solution": "<answer>B</answer>", "path": "./star/a.mp4"}
    rows = [
        choice,
        {**choice, "problem_id": 3, "problem_type": "numerical", "options": [], "solution": "<answer>4</answer>"},
        {**choice, "problem_id": 4, "data_type": "image", "path": "./b.png"},
        {**choice, "problem_id": 5, "path": "../etc/a.mp4"},
        {**choice, "problem_id": 6, "path": "star/gone.mp4"},
    ]
    (tmp_path / "copy" / "Video-R1-260k.json").write_text(json.dumps(rows))
    found = seen(request_of(), "video_r1")
    ((sample, media),) = found.clips
    assert (sample.id, Path(media.path).name, sample.tags) == ("star/a.mp4", "a.mp4", {"data_source": "STAR"})
    assert [(q.id, q.text, q.answer, q.kind, q.options) for q in sample.questions] == [
        ("2", "What?\nA. x\nB. y", "B", "choice", ("A. x", "B. y")),
        ("3", "What?", "4", "number", ()),
    ]
    assert found.notes == ["left out, not about a video below the file, or of an unknown kind: 4, 5", "left out, not there: star/gone.mp4"]


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_table_gathers_the_rows_of_a_video(put, request_of, tmp_path, suffix):
    put("a b.mp4")
    put("frames", frames=4)
    rows = [
        {"video": "a b.mp4", "caption": "a door opens, slowly", "start": 0.2, "end": 0.4, "label": "opens"},
        {"video": "a b.mp4", "split": "test", "question": "What opens?", "answer": "a door"},
        {"video": "frames", "frame_fps": 2},
        {"video": "gone.mp4"},
    ]
    path = tmp_path / "copy" / f"table.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet

        table = pa.Table.from_pylist([{name: row.get(name) for name in {k: 0 for r in rows for k in r}} for row in rows])
        pyarrow.parquet.write_table(table, path) if suffix == "parquet" else pyarrow.csv.write_csv(table, path)
    found = seen(request_of(path.name), "table")
    (sample, _), (folder, _) = found.clips
    assert (sample.caption, sample.split, sample.spans) == ("a door opens, slowly", "test", (Span(0.2, 0.4, "opens"),))
    assert [(q.text, q.answer, q.kind) for q in sample.questions] == [("What opens?", "a door", "open")]
    assert (folder.frame_fps, sample.frame_fps) == (2.0, None)
    assert found.notes == ["left out, not there: gone.mp4"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("video,captoin\na.mp4,x\n", "row 2: unknown column 'captoin'"),
        ("video\n../a.mp4\n", "expected a path below"),
        ("video,start,end\na.mp4,2,1\n", "0 <= start <= end"),
        ("video,start,end\na.mp4,soon,1\n", "'start' holds 'soon'"),
        ("video,split\na.mp4,dev\n", "split is 'dev'"),
        ("video,question\na.mp4,What?\n", "a question needs an answer"),
        ("caption\nx\n", "video is None"),
    ],
)
def test_bad_cells_are_named(put, request_of, tmp_path, text, message):
    put("a.mp4")
    (tmp_path / "copy" / "t.csv").write_text(text)
    with pytest.raises(ManifestError, match=message):
        seen(request_of("t.csv"), "table")


def shard(path, members):
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
                tar.addfile(info)
            else:
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))


def test_shards_become_a_manifest_and_leave_nothing_unpacked(stand_in, tmp_path):
    video = stand_in[".mp4"].read_bytes()
    (tmp_path / "copy").mkdir()
    said = json.dumps({"caption": "a dot falls", "split": "test", "events": [{"start": 0.2, "end": 0.3}]}).encode()
    shard(tmp_path / "copy" / "0001.tar", {"a.mp4": video, "a.json": said, "b.txt": b"a dot rises\n", "b.mp4": video, "c.jpg": b"x"})
    shard(tmp_path / "copy" / "0002.tar", {"a.mp4": video, "../../evil.mp4": video, "/evil.mp4": video, "link.mp4": None})
    overrides = [
        f"source={tmp_path / 'copy'}",
        f"output={tmp_path / 'out'}",
        "format=webdataset",
        "relevance=motion",
        "runtime.num_workers=1",
        "validate.duplicates=keep",
    ]
    run = build.run(load(DataConfig, None, overrides))
    samples = manifest.read(run.folder / "manifest.parquet")
    assert [(s.id, s.caption, s.split, s.spans) for s in samples] == [
        ("0001/a.mp4", "a dot falls", "test", (Span(0.2, 0.3),)),
        ("0001/b.mp4", "a dot rises", "train", ()),
        ("0002/a.mp4", "", "train", ()),
    ]
    assert not list(tmp_path.rglob("evil.mp4"))
    assert not (run.folder / "unpacked").exists()
    assert manifest.resolve(run.folder / "manifest.parquet", samples[0]).read_bytes() == video
    assert json.loads((run.folder / "source.json").read_text())["notes"][0].startswith("left out, members that are no plain files")


def test_a_damaged_shard_is_named(tmp_path, request_of):
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "x.tar").write_bytes(b"<html>" * 200)
    with pytest.raises(ManifestError, match=r"x\.tar: damaged or cut off"):
        seen(request_of(), "webdataset")
    shard(tmp_path / "copy" / "x.tar", {"a.json": b"{"})
    with pytest.raises(ManifestError, match=r"member 'a\.json' cannot be used"):
        seen(request_of(), "webdataset")


def test_unknown_formats_and_absent_copies(request_of, caplog):
    with pytest.raises(ConfigError, match=r"format 'hmdb51' is unknown \(did you mean 'hmdb51-\d'\?\); expected auto or one of folder"):
        seen(request_of(), "hmdb51")
    for name in SOURCES:
        with pytest.raises(ConfigError, match="no such file or folder; name your local copy"):
            seen(request_of("nowhere"), name)
    assert {source.name for source in SOURCES.values() if source.terms} == {"hmdb51-1", "hmdb51-2", "hmdb51-3", "celebv_hq", "mm_au", "video_r1"}
