"""Exports against the formats' documented fields, and back through our own reader where there is one."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.data.made import CHOICE, NUM_FRAMES, QUESTIONS, TIMES, data_folder, samples, with_event

from videoperceiver.data import manifest
from videoperceiver.data.exports import EXPORTS
from videoperceiver.data.exports.media import even_frames, even_rate
from videoperceiver.data.exports.video_r1 import without_options
from videoperceiver.data.sources import Request, find
from videoperceiver.errors import ConfigError, ManifestError, RunError
from videoperceiver.stages import CAPTION_PROMPT, IMAGE_PROMPT
from videoperceiver.types import Clip, Question, Sample
from videoperceiver.video.read import read_clip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return data_folder(tmp_path_factory.mktemp("exports") / "set")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_ms_swift_rows_have_the_documented_fields(folder, tmp_path):
    exported = EXPORTS["ms_swift"](folder / "manifest.parquet", tmp_path / "out")
    rows = lines(tmp_path / "out" / "train.jsonl")
    assert (exported.file, exported.rows, exported.clips) == (tmp_path / "out" / "train.jsonl", len(rows), 3)
    assert rows[0] == {
        "messages": [{"role": "user", "content": f"<video>{CHOICE.text}"}, {"role": "assistant", "content": "B"}],
        "videos": ["media/flash.mp4"],
        "solution": "B",
        "kind": "choice",
        "options": list(CHOICE.options),
        "sample": "flash",
    }
    assert rows[len(QUESTIONS)]["messages"][0]["content"] == f"<video>{CAPTION_PROMPT}"  # the caption comes last
    [picture] = [row for row in rows if "images" in row]
    assert (picture["messages"][0]["content"], picture["images"]) == (f"<image>{IMAGE_PROMPT}", ["media/picture.png"])
    for row in rows:
        asked = row["messages"][0]["content"]
        assert asked.count("<video>") == len(row.get("videos", ()))
        assert asked.count("<image>") == len(row.get("images", ()))
        for path in (*row.get("videos", ()), *row.get("images", ())):
            assert (tmp_path / "out" / path).is_file()


def test_llama_factory_has_a_description_of_its_columns(folder, tmp_path):
    EXPORTS["llama_factory"](folder / "manifest.parquet", tmp_path / "out")
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    columns = {"messages": "conversations", "videos": "videos", "images": "images"}
    assert info == {"videoperceiver_train": {"file_name": "videoperceiver_train.json", "formatting": "sharegpt", "columns": columns}}
    rows = json.loads((tmp_path / "out" / "videoperceiver_train.json").read_text())
    assert rows[1]["conversations"] == [{"from": "human", "value": f"<video>{QUESTIONS[1].text}"}, {"from": "gpt", "value": "2"}]
    assert rows[1]["videos"] == ["media/flash.mp4"]
    assert all((tmp_path / "out" / path).is_file() for row in rows for path in row.get("videos", []))


def test_without_pictures_no_column_of_them_is_named(folder, tmp_path):
    EXPORTS["llama_factory"](folder / "manifest.parquet", tmp_path / "out", split="validation")
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    assert info["videoperceiver_validation"]["columns"] == {"messages": "conversations", "videos": "videos"}


def test_video_r1_rows_have_the_fields_their_loaders_read(folder, tmp_path):
    EXPORTS["video_r1"](folder / "manifest.parquet", tmp_path / "out")
    rows = json.loads((tmp_path / "out" / "Video-R1-train.json").read_text())
    fields = {"problem_id", "problem", "data_type", "problem_type", "options", "process", "solution", "path", "data_source"}
    assert all(set(row) == fields for row in rows)
    assert [row["problem_id"] for row in rows] == list(range(1, len(rows) + 1))
    assert rows[0] == {
        "problem_id": 1,
        "problem": "Which comes first?",
        "data_type": "video",
        "problem_type": "multiple choice",
        "options": ["A. the flash", "B. the fall"],
        "process": "",
        "solution": "<answer>B</answer>",
        "path": "./media/flash.mp4",
        "data_source": "made",
    }
    assert [(row["problem_type"], row["solution"]) for row in rows[1:5]] == [
        ("numerical", "<answer>2</answer>"),
        ("regression", "<answer>1.25</answer>"),
        ("free-form", "<answer>yes</answer>"),
        ("free-form", "<answer>it flashes</answer>"),
    ]
    assert not any(row["problem"] == CAPTION_PROMPT for row in rows)


def test_video_r1_comes_back_through_our_own_reader(folder, tmp_path):
    EXPORTS["video_r1"](folder / "manifest.parquet", tmp_path / "out")
    found = find(Request(tmp_path / "out", tmp_path / "work"), "video_r1")
    clips = {sample.id: sample for sample, *_ in found.clips}
    back = clips["media/flash.mp4"].questions
    kinds = {"choice": "choice", "number": "number", "time": "number", "yes_no": "open", "open": "open"}  # their types are fewer than our kinds
    assert [(q.answer, q.kind) for q in back] == [(q.answer, kinds[q.kind]) for q in QUESTIONS]
    assert back[0].options == CHOICE.options
    assert back[0].text == "\n".join(CHOICE.text.split("\n")[:-1])  # but for the line that asks for a letter
    assert [q.text for q in back[1:]] == [q.text for q in QUESTIONS[1:]]


def test_options_are_taken_out_of_a_question_and_nothing_else_is():
    options = ("A. red", "B. blue")
    assert without_options("Which?\nA. red\nB. blue", options) == "Which?"
    assert without_options("Which?\nred\nblue", ("red", "blue")) == "Which?"
    assert without_options("Which of these, A. red or B. blue?\nLook twice.", options) == "Which of these, A. red or B. blue?\nLook twice."


def test_folders_of_images_become_a_film_at_their_rate(folder, tmp_path):
    EXPORTS["ms_swift"](folder / "manifest.parquet", tmp_path / "out", split="test")
    [row, _] = lines(tmp_path / "out" / "test.jsonl")
    assert row["videos"] == ["media/images.frames.mp4"]
    clip = read_clip(tmp_path / "out" / row["videos"][0])
    np.testing.assert_allclose(clip.t_s, TIMES, atol=1e-4)
    assert int(clip.frames.mean(axis=(1, 2, 3)).argmax()) == 4


def test_media_are_linked_not_moved_and_all_splits_fit_in_one(folder, tmp_path):
    exported = EXPORTS["ms_swift"](folder / "manifest.parquet", tmp_path / "out", split="all")
    assert exported.clips == 5
    assert (tmp_path / "out" / "media" / "flash.mp4").samefile(folder / "media" / "flash.mp4")


def test_v_and_its_twin_as_videos_differ_in_the_replaced_frame_alone(folder, tmp_path):
    EXPORTS["ms_swift"](folder / "manifest.parquet", tmp_path / "out", degraded=True)
    rows = lines(tmp_path / "out" / "train.jsonl")
    full, degraded = (read_clip(tmp_path / "out" / rows[0][kind]) for kind in ("full", "degraded"))
    np.testing.assert_allclose(full.t_s, TIMES, atol=1e-4)
    np.testing.assert_allclose(degraded.t_s, TIMES, atol=1e-4)
    apart = np.abs(full.frames.astype(int) - degraded.frames).mean(axis=(1, 2, 3))
    assert (np.flatnonzero(apart > 20) == [5]).all()
    assert degraded.frames[5].mean() == pytest.approx(degraded.frames[4].mean(), abs=3)
    assert "degraded" not in next(row for row in rows if row["sample"] == "picture")


def test_uneven_frames_keep_their_seconds_for_readers_that_count():
    t_s = np.array([0.5, 0.625, 0.75, 2.0])
    clip = Clip(np.arange(4, dtype=np.uint8)[:, None, None, None], t_s, "made")
    assert even_rate(t_s) == 8
    shown = [int(frame.item()) for frame in even_frames(clip, 8)]
    assert len(shown) == 17
    assert [shown[round(at * 8)] for at in (0.0, 0.5, 0.625, 0.75, 2.0)] == [0, 0, 1, 2, 3]
    assert even_rate(np.array([0.0])) == 1
    assert even_rate(np.array([0.0, 0.001])) == 30


def test_what_has_no_place_is_left_out_and_told(tmp_path):
    asked = {
        "tagged": Question("q", "Is <video> there?", "yes", "yes_no", "f"),
        "answer": Question("q", "What?", "a</answer>b", "open", "f"),
        "unread": Question("q", "How many?", "some", "number", "f"),
        "alone": Question("q", "Which?\nA. this", "A", "choice", "f", ("A. this",)),
        "good": Question("q", "What?", "this", "open", "f"),
    }
    rows = [replace(with_event(name, 1, questions=(question,), caption=""), video="media/v.mp4") for name, question in asked.items()]
    rows += [Sample("text", "", "", "train", "made", (), questions=(asked["good"],))]
    rows += [replace(rows[-2], id="gone", video="media/gone.mp4"), replace(rows[-2], id="empty", questions=())]
    data = data_folder(tmp_path / "set")
    (data / "media" / "flash.mp4").rename(data / "media" / "v.mp4")
    manifest.write(rows, data / "manifest.parquet")
    exported = EXPORTS["video_r1"](data / "manifest.parquet", tmp_path / "out")
    assert (exported.rows, exported.clips, sum(exported.left_out.values())) == (1, 1, 7)
    told = {reason: exported.instances[reason] for reason in exported.left_out}
    parts = {"<video>": "tagged", "<answer> tag": "answer", "numerical": "unread", "without options": "alone", "text alone": "text"}
    for part, name in parts.items():
        assert next(instance for reason, instance in told.items() if part in reason) == f"{name}, q"
    assert told["its media cannot be used"].startswith("gone: its media are not there")
    assert exported.left_out["nothing to train on, or a question without text or answer"] == 1


def test_rows_a_reviewer_rejected_are_left_out(folder, tmp_path):
    exported = EXPORTS["ms_swift"](folder / "manifest.parquet", tmp_path / "out")
    assert exported.instances["a reviewer rejected the clip"] == "plain"
    assert not (tmp_path / "out" / "media" / "plain.mp4").exists()


def test_a_file_of_rows_never_writes_through_a_link_to_the_media(tmp_path):
    data = data_folder(tmp_path / "set")
    original = (data / "media" / "flash.mp4").read_bytes()
    for name in ("train.jsonl", "dataset_info.json", "videoperceiver_train.json"):
        (data / name).write_bytes(original)
    rows = [replace(samples()[0], id=name, video=name) for name in ("train.jsonl", "dataset_info.json", "videoperceiver_train.json")]
    manifest.write(rows, data / "odd.parquet")
    for name in ("ms_swift", "llama_factory"):
        EXPORTS[name](data / "odd.parquet", tmp_path / name)
    assert all((data / row.video).read_bytes() == original for row in rows)
    assert (tmp_path / "llama_factory" / "media" / "dataset_info.json").samefile(data / "dataset_info.json")


def test_wrong_paths_and_names_are_told(folder, tmp_path):
    export, path = EXPORTS["ms_swift"], folder / "manifest.parquet"
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    with pytest.raises(RunError, match="taken holds something already, and an export overwrites nothing"):
        export(path, tmp_path / "taken")
    with pytest.raises(RunError, match="holds something already"):
        export(path, tmp_path / "taken" / "file")
    with pytest.raises(ManifestError, match=rf"this is a folder; name {re.escape(str(path))}"):
        export(folder, tmp_path / "new")
    with pytest.raises(ManifestError, match=r"none\.parquet"):
        export(folder / "none.parquet", tmp_path / "new")
    with pytest.raises(ConfigError, match="split is 'tests'; expected one of train, validation, test, all"):
        export(path, tmp_path / "new", split="tests")
    only_train = tmp_path / "set"
    only_train.mkdir()
    manifest.write([replace(samples()[0], split="validation", questions=(), caption="")], only_train / "m.jsonl")
    with pytest.raises(ManifestError, match=r"no question or caption of split 'validation' to export \(1 left out: nothing to train on"):
        export(only_train / "m.jsonl", tmp_path / "new", split="validation")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set", "taken"]  # nothing half-done stays
    assert (tmp_path / "taken" / "file").read_text() == "mine"


def test_an_empty_folder_is_filled(folder, tmp_path):
    (tmp_path / "out").mkdir()
    EXPORTS["ms_swift"](folder / "manifest.parquet", tmp_path / "out", split="validation")
    assert len(lines(tmp_path / "out" / "validation.jsonl")) == 2
    assert len(read_clip(tmp_path / "out" / "media" / "held-out.mp4").t_s) == NUM_FRAMES


def test_datasets_reads_the_rows_as_the_tools_do(folder, tmp_path):
    import datasets

    for name, file in (("ms_swift", "train.jsonl"), ("llama_factory", "videoperceiver_train.json"), ("video_r1", "Video-R1-train.json")):
        exported = EXPORTS[name](folder / "manifest.parquet", tmp_path / name, degraded=True)
        rows = datasets.Dataset.from_json(str(tmp_path / name / file), cache_dir=str(tmp_path / "cache"))
        assert rows.num_rows == exported.rows
