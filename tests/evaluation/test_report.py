import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

from videoperceiver.errors import ConfigError, RunError, VideoReadError
from videoperceiver.evaluation.report import build_report
from videoperceiver.evaluation.saved import read_saved
from videoperceiver.evaluation.statistics import summarize
from videoperceiver.pages import ClipFigure

HOSTILE = "<script>alert(1)</script>|`\x1b[31m"


def prediction(video: int, question: str, condition: str, score: float | None, **fields) -> dict:
    right = "red" if score == 1 else "blue"
    row = {
        "sample": f"clip-{video}", "question": question, "family": question, "kind": "choice", "static": question == "object", "condition": condition,
        "text": f"Which {question}?", "completion": right, "extracted": right, "reference": "red", "score": score,
        "tags": {"cue": "agree" if video % 2 else "conflict", "pair": str(video), "hint/flash": "red"}, "num_frames": 16, "video": f"clips/{video}.mp4",
    }  # fmt: skip
    return row | fields


def evaluation(folder: Path, right_on_full: int, num_videos: int = 20, **config) -> Path:
    """20 videos x 2 questions x 2 conditions; the first `right_on_full` videos are right on V, none on V′."""
    rows = [
        prediction(video, question, condition, float(condition == "full" and video < right_on_full))
        for video in range(num_videos)
        for question in ("flash", "object")
        for condition in ("full", "degraded")
    ]
    return save(
        folder, "evaluate", predictions=rows, config={"model": {"path": folder.name, "max_pixels": 1024}, "split": "test", "max_new_tokens": 8, **config}
    )


def save(folder: Path, stage: str, *, predictions=(), metrics=(), rejects=(), config=None, status="finished") -> Path:
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(config or {"steps": 3}))
    (folder / "metadata.json").write_text(json.dumps({"schema": 1, "stage": stage, "created": "2026-01-01T00:00:00+0000", "git": "abc"}))
    (folder / "status.json").write_text(json.dumps({"status": status}))
    for name, rows in (("predictions", predictions), ("metrics", metrics), ("rejects", rejects)):
        if rows:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if predictions:
        (folder / "result.json").write_text(json.dumps(summarize(predictions)))
    return folder


def scores(report, title: str) -> dict:
    table = next(table for table in report.tables if table.title == title)
    return {(score.model, score.slice, score.condition): score.estimate.value for score in table.scores}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.seen = set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)


def test_one_evaluation_becomes_three_files_that_agree(tmp_path):
    report = build_report([evaluation(tmp_path / "run", 15)], tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.json", "report.md", "report.tex"]
    assert scores(report, "All questions") == {("run", "", "full"): 0.75, ("run", "", "degraded"): 0.0}
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["tables"][0]["scores"][0]["value"] == 0.75
    assert saved["runs"][0]["result"]["accuracy"]["full"]["all"]["value"] == 0.75
    assert "| run | 75.0 (" in (tmp_path / "out" / "report.md").read_text()
    html = (tmp_path / "out" / "report.html").read_text()
    assert "<h1>run answers 75.0\u00a0% of 40 scored questions right on V, 0.0\u00a0% on V′</h1>" in html


def test_intervals_are_those_of_result_json(tmp_path):
    folder = evaluation(tmp_path / "run", 15)
    report = build_report([folder], tmp_path / "out")
    result = json.loads((folder / "result.json").read_text())["accuracy"]["full"]["all"]
    shown = report.tables[0].scores[0].estimate
    assert (shown.value, shown.num) == (result["value"], result["num"])
    assert shown.low == pytest.approx(result["low"], abs=0.02)
    assert shown.high == pytest.approx(result["high"], abs=0.02)


def test_questions_are_sorted_by_whether_they_need_the_key_frames(tmp_path):
    rows = [
        prediction(video, "flash", condition, float(score))
        for video, pair in enumerate([(1, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0, 0), (0, 0), (1, 1)])
        for condition, score in zip(("full", "degraded"), pair, strict=True)
    ]
    found = scores(build_report([save(tmp_path / "run", "evaluate", predictions=rows)], tmp_path / "out"), "Which questions need the key frames")
    assert {name: value for (_, name, _), value in found.items()} == {
        "right on V only": 0.25,
        "right on both": 0.25,
        "wrong on both": 0.375,
        "right on V′ only": 0.125,
    }


def test_slices_follow_subject_family_and_plain_tags(tmp_path):
    report = build_report([evaluation(tmp_path / "run", 15)], tmp_path / "out")
    titles = [table.title for table in report.tables]
    assert titles == ["All questions", "Which questions need the key frames", "By subject", "By cue", "By family", "Answers that could not be read"]
    assert scores(report, "By cue")["agree", "run", "full"] == 0.7  # 7 of the 10 odd videos are below 15
    assert scores(report, "By subject")["what stays in view", "run", "full"] == 0.75


def test_two_runs_are_paired_on_the_questions_they_share(tmp_path):
    report = build_report([evaluation(tmp_path / "a", 10), evaluation(tmp_path / "b", 16, num_videos=18)], tmp_path / "out")
    caption, differences = report.differences[0]
    assert caption == "b minus a, on V"
    assert differences[0].label == "all questions"
    assert differences[0].estimate.value == pytest.approx(6 / 18)
    assert differences[0].estimate.num == 36
    assert differences[0].estimate.low > 0
    assert 0 < differences[0].p_value <= 1
    assert any("share 72 answers; 0 and 8 are in one alone" in note for note in report.notes)
    assert "<h1>b is 33.3 points above a on V</h1>" in (tmp_path / "out" / "report.html").read_text()


def test_equal_runs_are_not_called_different(tmp_path):
    report = build_report([evaluation(tmp_path / "a", 10), evaluation(tmp_path / "b", 10)], tmp_path / "out")
    assert report.differences[0][1][0].estimate.value == 0
    assert "<h1>b and a are equally accurate on V</h1>" in (tmp_path / "out" / "report.html").read_text()


def test_the_gap_to_v_prime_is_reported_for_each_run(tmp_path):
    report = build_report([evaluation(tmp_path / "a", 10)], tmp_path / "out")
    caption, differences = report.differences[0]
    assert caption.startswith("What the answers rest on")
    assert [(item.label, item.estimate.value) for item in differences] == [("a: V minus V′", 0.5)]


def test_unread_answers_count_as_wrong_and_unscored_open_ones_are_left_out(tmp_path):
    rows = [prediction(video, "flash", "full", 1.0) for video in range(6)]
    rows += [prediction(video, "flash", "full", None, extracted=None) for video in range(6, 8)]
    rows += [prediction(video, "caption", "full", None if video < 3 else 0.8, kind="open", extracted=None) for video in range(4)]
    report = build_report([save(tmp_path / "run", "evaluate", predictions=rows)], tmp_path / "out")
    assert scores(report, "All questions")["run", "", "full"] == pytest.approx((6 + 0.8) / 9)
    unread = scores(report, "Answers that could not be read")
    assert unread["run", "unparsed", "full"] == 0.25
    assert unread["run", "unscored", "full"] == 0.75


def test_missing_files_are_told(tmp_path):
    folder = evaluation(tmp_path / "run", 15)
    (folder / "result.json").unlink()
    (folder / "config.yaml").unlink()
    report = build_report([folder], tmp_path / "out")
    assert report.runs[0].missing == ("config.yaml", "result.json")
    assert "run lacks config.yaml and result.json: what these would tell is left out here." in report.notes


def test_an_unfinished_run_is_told(tmp_path):
    report = build_report([save(tmp_path / "run", "sft", metrics=[{"step": 1, "time_s": 0.5, "sft/loss": 2.0}], status="interrupted")], tmp_path / "out")
    assert any("run is interrupted, not finished" in note for note in report.notes)


def test_training_runs_of_one_stage_share_their_panels(tmp_path):
    for name, loss in (("plain", 2.0), ("stage1", 3.0)):
        save(tmp_path / name, "sft", metrics=[{"step": i, "time_s": i / 2, "sft/loss": loss - i / 10, "sft/kl": None} for i in range(5)])
    report = build_report([tmp_path / "plain", tmp_path / "stage1"], tmp_path / "out")
    assert [list(group.series) for group in report.curves] == [["stage1", "plain"]]  # the newest in the accent colour
    assert report.sentences == ["plain logged 5 steps; its loss went from 2 to 1.6.", "stage1 logged 5 steps; its loss went from 3 to 2.6."]
    assert report.tables == []


def test_rejects_are_counted_by_reason(tmp_path):
    rejects = [{"sample_id": f"s{i}", "path": "x.mp4", "kind": "VideoReadError", "reason": "no video stream" if i else HOSTILE, "step": 1} for i in range(4)]
    report = build_report([save(tmp_path / "run", "sft", metrics=[{"step": 1, "time_s": 0, "sft/loss": 1.0}], rejects=rejects)], tmp_path / "out")
    assert report.runs[0].rejects == [("no video stream", 3, "s3"), (HOSTILE, 1, "s0")]


def test_wrong_answers_stand_beside_their_filmstrips(tmp_path):
    def frames(sample: str) -> ClipFigure | None:
        if sample == "clip-17":
            raise VideoReadError("is empty", path="17.mp4")
        return None if sample == "clip-18" else ClipFigure(f"Sample {sample}", np.zeros((3, 8, 8, 3), np.uint8), [0, 1, 2], source_idx=(0, 0, 2))

    report = build_report([evaluation(tmp_path / "a", 18), evaluation(tmp_path / "b", 16)], tmp_path / "out", frames=frames, max_mistakes=3)
    assert [(mistake.title, mistake.clip is not None) for mistake in report.mistakes] == [
        ("Sample clip-16", True),
        ("Sample clip-17", False),
        ("Sample clip-18", False),
    ]
    answers = report.mistakes[0].questions[0].answers
    assert [(answer.model, answer.condition, answer.correct) for answer in answers] == [("a", "V", True), ("b", "V", False), ("b", "V′", False)]
    assert any("17.mp4" in note for note in report.notes)
    html = (tmp_path / "out" / "report.html").read_text()
    assert html.count('class="strip"') == 1
    assert "Sample clip-18" in html


def test_hostile_output_stays_text_in_every_file(tmp_path):
    rows = [
        prediction(video, "flash", "full", 0.0, completion=HOSTILE * 2_000, text=HOSTILE, reference=HOSTILE, family=HOSTILE, tags={HOSTILE: str(video % 2)})
        for video in range(4)
    ]
    build_report([save(tmp_path / "run", "evaluate", predictions=rows, config={HOSTILE: HOSTILE})], tmp_path / "out")
    html, markdown = ((tmp_path / "out" / f"report.{suffix}").read_text() for suffix in ("html", "md"))
    tags = Tags()
    tags.feed(html)
    assert "script" not in tags.seen
    assert "\x1b" not in html + markdown
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert len(html) < 100_000


def test_runs_of_different_protocols_are_refused_unless_forced(tmp_path):
    folders = [evaluation(tmp_path / "a", 10), evaluation(tmp_path / "b", 12, max_new_tokens=64)]
    with pytest.raises(ConfigError, match="max_new_tokens is 8 in one and 64 in the other"):
        build_report(folders, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert build_report(folders, tmp_path / "out", force=True).differences


def test_runs_that_disagree_on_a_reference_are_refused(tmp_path):
    first = evaluation(tmp_path / "a", 10)
    second = save(tmp_path / "b", "evaluate", predictions=[prediction(0, "flash", "full", 1.0, reference="green")], config={"split": "test"})
    with pytest.raises(ConfigError, match="disagree on the reference of question 'flash' of sample 'clip-0'"):
        build_report([first, second], tmp_path / "out")


def test_runs_without_a_common_question_have_no_difference(tmp_path):
    first = save(tmp_path / "a", "evaluate", predictions=[prediction(video, "flash", "full", 1.0) for video in range(3)])
    second = save(tmp_path / "b", "evaluate", predictions=[prediction(video, "count", "full", 1.0) for video in range(3)])
    report = build_report([first, second], tmp_path / "out")
    assert report.differences == []
    assert any("share 0 answers" in note for note in report.notes)


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path):
    report = build_report([evaluation(tmp_path / "x" / "eval", 10), evaluation(tmp_path / "y" / "eval", 12)], tmp_path / "out")
    assert [run.name for run in report.runs] == ["x/eval", "y/eval"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("metrics.jsonl", "{broken}\n", r"metrics.jsonl, line 1: damaged"),
        ("metrics.jsonl", "[1]\n", "line 1: expected a JSON object, got list"),
        ("config.yaml", "a: [", "config.yaml: damaged"),
        ("config.yaml", "- a\n", "expected fields with values, got list"),
        ("predictions.jsonl", '{"sample": "a"}\n', "line 1: fields question, family, kind"),
        ("predictions.jsonl", json.dumps(prediction(0, "q", "full", 7.0)) + "\n", "score 7.0, expected a number from 0 to 1"),
        ("predictions.jsonl", json.dumps(prediction(0, "q", "full", 1.0, tags=None)) + "\n", "tags are None"),
        ("predictions.jsonl", 2 * (json.dumps(prediction(0, "q", "full", 1.0)) + "\n"), "is there twice under condition 'full'"),
        ("metadata.json", b"\xff\xfe", "cannot be read"),
    ],
)
def test_damaged_files_are_named_with_their_line(tmp_path, name, content, message):
    folder = save(tmp_path / "run", "sft", metrics=[{"step": 1, "time_s": 0, "sft/loss": 1.0}])
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=message):
        build_report([folder], tmp_path / "out")


def test_a_torn_last_line_is_not_a_row(tmp_path):
    folder = save(tmp_path / "run", "sft", metrics=[{"step": 1, "time_s": 0, "sft/loss": 1.0}])
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "ti')
    assert build_report([folder], tmp_path / "out").sentences == ["run logged 1 step; its loss went from 1 to 1."]


@pytest.mark.parametrize("make", [lambda path: path / "absent", lambda path: path])
def test_what_is_no_run_folder_is_refused(tmp_path, make):
    with pytest.raises(RunError, match=r"is not a run folder: expected one of config\.yaml"):
        build_report([make(tmp_path)], tmp_path / "out")


def test_what_rows_repeat_is_held_once(tmp_path):
    [run] = read_saved([evaluation(tmp_path / "run", 10)])
    full, degraded = (next(row for row in run.predictions if row["condition"] == name and row["sample"] == "clip-3") for name in ("full", "degraded"))
    assert full["text"] is degraded["text"]
    assert full["tags"] is degraded["tags"]
    assert full["completion"] != degraded["completion"]
    assert "options" not in full


def test_an_output_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match="is in the way; expected a folder"):
        build_report([evaluation(tmp_path / "run", 10)], tmp_path / "file")


def test_no_folder_or_the_same_twice_is_refused(tmp_path):
    with pytest.raises(RunError, match="no run folder given"):
        build_report([], tmp_path / "out")
    folder = evaluation(tmp_path / "run", 10)
    with pytest.raises(RunError, match="given twice"):
        build_report([folder, folder], tmp_path / "out")
