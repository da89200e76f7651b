"""Benchmarks that are not as they should be: missing videos, broken rows, hidden and extra answers, interruptions, protocols that were changed."""

import json
import shutil

import pytest
from tests.evaluation.test_benchmark_runs import config_of

from videoperceiver.config import load
from videoperceiver.errors import ConfigError, RunError
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.ledger import iterate
from videoperceiver.stages import EvaluateConfig


def result_of(run) -> dict:
    return json.loads((run.folder / "result.json").read_text())


def rows_of(run) -> list[dict]:
    return list(iterate(run.folder / "predictions.jsonl"))


@pytest.fixture
def without_one(stand_ins, tmp_path):
    """TOMATO, one of its two videos missing."""
    annotations, videos = stand_ins["tomato"]
    shutil.copytree(videos, tmp_path / "videos")
    (tmp_path / "videos" / "human" / "k2.mp4").unlink()
    return {"tomato": (annotations, tmp_path / "videos")}


def test_missing_videos_are_counted_and_listed_and_never_scored(without_one, bench_model, tmp_path):
    run = evaluate.run(config_of("tomato", without_one, bench_model, tmp_path / "run", "conditions=[full]", "max_reject_rate=0.5"))
    result = result_of(run)
    assert result["not_asked"] == 1
    assert [row["sample"] for row in rows_of(run)] == ["human/k1"]
    assert result["table"]["full"]["Overall"]["num"] == 1
    [reject] = run.rejects()
    assert (reject["sample_id"], reject["path"]) == ("human/k2", "human/k2.mp4")
    assert "its 1 questions are not asked" in reject["reason"]


def test_too_many_missing_videos_fail_before_the_model_is_loaded(without_one, tmp_path):
    with pytest.raises(RunError, match="1 of 2 samples are bad"):
        evaluate.run(config_of("tomato", without_one, "no-such-model", tmp_path / "run", "max_reject_rate=0"))


def test_strict_refuses_a_missing_video_and_a_wrong_count(without_one, stand_ins, tmp_path):
    with pytest.raises(RunError, match=r"benchmark.strict: .*no such video"):
        evaluate.run(config_of("tomato", without_one, "none", tmp_path / "a", "benchmark.strict=true"))
    with pytest.raises(RunError, match=r"benchmark.strict: 6 things .*TOMATO: 0 questions of 'rotation', expected 286"):
        evaluate.run(config_of("tomato", stand_ins, "none", tmp_path / "b", "benchmark.strict=true"))


def test_videos_may_lie_flat(stand_ins, bench_model, tmp_path):
    annotations, videos = stand_ins["tomato"]
    (tmp_path / "flat").mkdir()
    for file in videos.rglob("*.mp4"):
        shutil.copy(file, tmp_path / "flat" / file.name)
    run = evaluate.run(config_of("tomato", {"tomato": (annotations, tmp_path / "flat")}, bench_model, tmp_path / "run", "conditions=[full]"))
    assert len(rows_of(run)) == 2


def test_an_unreadable_video_is_listed_with_its_sample(without_one, bench_model, tmp_path):
    (without_one["tomato"][1] / "human" / "k2.mp4").write_bytes(b"not a video")
    run = evaluate.run(config_of("tomato", without_one, bench_model, tmp_path / "run", "conditions=[full]", "max_reject_rate=0.5"))
    assert [row["sample_id"] for row in run.rejects()] == ["human/k2"]
    assert [row["sample"] for row in rows_of(run)] == ["human/k1"]


def test_rows_whose_options_or_answers_are_broken_are_set_aside(stand_ins, bench_model, tmp_path):
    annotations = tmp_path / "annotations"
    shutil.copytree(stand_ins["tomato"][0], annotations)
    rows = json.loads((annotations / "count.json").read_text())
    rows |= {"2": rows["0"] | {"answer": 7}, "3": rows["0"] | {"options": ["one"], "answer": 0}, "4": rows["0"] | {"answer": None}}
    (annotations / "count.json").write_text(json.dumps(rows))
    broken = {"tomato": (annotations, stand_ins["tomato"][1])}
    run = evaluate.run(config_of("tomato", broken, bench_model, tmp_path / "run", "conditions=[full]", "max_reject_rate=0.5"))
    assert len(rows_of(run)) == 2
    assert len(run.rejects()) == 3
    assert all(reject["sample_id"] == "human/k1" for reject in run.rejects())


def test_hidden_answers_are_submitted_and_never_scored(stand_ins, bench_model, tmp_path):
    run = evaluate.run(config_of("motionbench", stand_ins, bench_model, tmp_path / "run", "conditions=[full,degraded]"))
    result = result_of(run)
    hidden = [row for row in rows_of(run) if row["question"] == "u2"]
    assert [row["score"] for row in hidden] == [None, None]
    assert result["table"]["full"]["Avg"]["num"] == 2
    assert result["accuracy"]["full"]["all"]["num"] == 2
    submission = json.loads((run.folder / "submission.json").read_text())
    assert submission.keys() == {"u1", "u2", "u3"}
    assert set(submission.values()) <= set("ABCDEF") | {""}


def answers_file(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_answers_of_another_model_are_scored_alike_and_extra_ones_are_listed(stand_ins, tmp_path):
    said = [
        {"sample": "1", "question": "multi-choice/action/0", "completion": "The answer is B"},
        {"sample": "1", "question": "yes_no/speed/0", "completion": "No, it is slow."},
        {"sample": "1", "question": "caption_matching/order/0", "completion": None},
        {"sample": "99", "question": "yes_no/speed/0", "completion": "yes"},
    ]
    answers = answers_file(tmp_path / "answers.jsonl", said)
    config = config_of("tempcompass", stand_ins, "theirs", tmp_path / "run", "engine.kind=file", f"engine.answers={answers}", "conditions=[full]")
    result = result_of(evaluate.run(config))
    assert {name: result["table"]["full"][name]["value"] for name in ("Multi-Choice", "Yes/No", "Caption Matching")} == {
        "Multi-Choice": 1.0,
        "Yes/No": 1.0,
        "Caption Matching": 0.0,
    }
    assert result["official_table"]["full"]["Multi-Choice"]["value"] == 0.0  # their rule reads "The answer is B" as nothing
    assert result["unparsed"]["full"] == pytest.approx(1 / 3)
    assert result["unused_answers"] == ["99/yes_no/speed/0/full"]


def test_output_of_any_kind_is_read_scored_and_kept(stand_ins, tmp_path):
    said = {"human/k1": "\x1b[31m\x00\u202e" + "word " * 20_000 + "\nAnswer: B\ud800", "human/k2": "\x07" * 100_000}
    rows = [
        {"sample": sample.id, "question": question.id, "completion": said[sample.id]}
        for sample in BENCHMARKS["tomato"].load(stand_ins["tomato"][0]).samples
        for question in sample.questions
    ]
    answers = answers_file(tmp_path / "answers.jsonl", rows)
    config = config_of("tomato", stand_ins, "theirs", tmp_path / "run", "engine.kind=file", f"engine.answers={answers}", "conditions=[full]")
    run = evaluate.run(config)
    assert {row["sample"]: (row["completion"], row["extracted"], row["score"]) for row in rows_of(run)} == {
        "human/k1": (said["human/k1"], "B", 1.0),
        "human/k2": (said["human/k2"], None, None),  # counted as wrong, below
    }
    assert (result_of(run)["unparsed"]["full"], result_of(run)["accuracy"]["full"]["all"]["value"]) == (0.5, 0.5)


def test_repeated_rows_are_set_aside_and_the_first_one_is_asked(stand_ins, tmp_path):
    rows = [
        {"videoID": "y", "duration": "short", "domain": "d", "question_id": "1", "question": f"Which {word}?", "options": ["A. red", "B. blue"], "answer": "A"}
        for word in ("colour", "shape")
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answers = answers_file(tmp_path / "answers.jsonl", [{"sample": "y", "question": "1", "completion": "A"}])
    given = {"video-mme": (tmp_path / "test.jsonl", tmp_path)}
    config = config_of(
        "video-mme", given, "theirs", tmp_path / "run", "engine.kind=file", f"engine.answers={answers}", "conditions=[full]", "max_reject_rate=0.5"
    )
    run = evaluate.run(config)
    assert ["occurs twice; the first is kept" in row["reason"] for row in run.rejects()] == [True]
    assert "Which colour?" in rows_of(run)[0]["text"]


def test_caption_metrics_are_computed_or_say_why_not(stand_ins, tmp_path):
    rows = [
        {"sample": sample.id, "question": question.id, "completion": "the car hit the man" if question.kind == "open" else question.answer}
        for sample in BENCHMARKS["vru-accident"].load(stand_ins["vru-accident"][0]).samples
        for question in sample.questions
    ]
    answers = answers_file(tmp_path / "answers.jsonl", rows)
    config = config_of(
        "vru-accident", stand_ins, "theirs", tmp_path / "run", "engine.kind=file", f"engine.answers={answers}", "conditions=[full]",
        "benchmark.caption_metrics=[rouge,comet]",
    )  # fmt: skip
    result = result_of(evaluate.run(config))
    assert result["captions"]["num"] == 2
    assert "COMET_CHECKPOINT" in result["captions"]["comet"]["not computed"]
    assert result["table"]["full"]["Avg"]["value"] == pytest.approx(1.0)


def test_a_killed_run_drops_its_half_written_batch_and_ends_alike(stand_ins, bench_model, tmp_path, monkeypatch):
    options = ("conditions=[full,shuffled]", "batch_size=1", "temperature=1.0", "num_samples=2")
    whole = evaluate.run(config_of("tomato", stand_ins, bench_model, tmp_path / "whole", *options))
    config, predict, calls = config_of("tomato", stand_ins, bench_model, tmp_path / "cut", *options), evaluate.predict, []

    def stop_second(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(1)
        return predict(*arguments)

    monkeypatch.setattr(evaluate, "predict", stop_second)
    with pytest.raises(KeyboardInterrupt):
        evaluate.run(config)
    with (tmp_path / "cut" / "predictions.jsonl").open("a") as file:  # what a kill amid a write leaves
        file.write(json.dumps(rows_of(whole)[-1]) + '\n{"sample": "human/k')
    monkeypatch.setattr(evaluate, "predict", predict)
    assert rows_of(evaluate.run(config)) == rows_of(whole)
    assert (tmp_path / "cut" / "clips.jsonl").read_text() == (tmp_path / "whole" / "clips.jsonl").read_text()


def test_draws_are_averaged_and_the_commonest_answer_is_kept(stand_ins, bench_model, tmp_path):
    run = evaluate.run(config_of("video-mme", stand_ins, bench_model, tmp_path / "run", "conditions=[full]", "temperature=1.0", "num_samples=4"))
    for row in rows_of(run):
        assert len(row["completions"]) == len(row["scores"]) == 4
        assert row["score"] == pytest.approx(sum(score or 0 for score in row["scores"]) / 4) or row["score"] is None
    assert {"temperature is 1.0, the protocol's is 0.0", "num_samples is 4, the protocol's is 1"} <= set(result_of(run)["deviations"])


def test_reasoning_is_asked_for_and_part_of_the_digest(stand_ins, bench_model, tmp_path):
    digests = set()
    for prompt in ("direct", "reasoning"):
        run = evaluate.run(config_of("video-mme", stand_ins, bench_model, tmp_path / prompt, "conditions=[full]", f"prompt={prompt}"))
        digests.add(result_of(run)["protocol"]["digest"])
    assert len(digests) == 2
    assert result_of(run)["protocol"]["reasoning"]


def test_frames_and_pixels_can_be_overridden_and_are_recorded(stand_ins, bench_model, tmp_path):
    options = ("conditions=[full]", "benchmark.num_frames=4", "benchmark.max_pixels=400")
    run = evaluate.run(config_of("tomato", stand_ins, bench_model, tmp_path / "run", *options))
    clips = list(iterate(run.folder / "clips.jsonl"))
    assert {len(clip["t_s"]) for clip in clips} == {4}
    assert {tuple(clip["video_px"]) for clip in clips} == {(20, 20)}
    assert result_of(run)["frames"] | {"sizes_px": 0} == {"min": 4, "max": 4, "mean": 4.0, "sizes_px": 0, "questions_without_degraded": 0}
    assert "num_frames is 4, the protocol's is 16" in result_of(run)["deviations"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["manifest=m.parquet"], "expected one of them"),
        (["benchmark.name=nobench"], "benchmark.name is 'nobench', expected one of motionbench"),
        (["benchmark.annotations=/nowhere"], "benchmark.annotations is '/nowhere'.*download it from https"),
        (["benchmark.videos=/nowhere"], "benchmark.videos is '/nowhere'"),
        (["benchmark.caption_metrics=[bleurt]", "engine.kind=file"], "engine.answers"),
    ],
)
def test_wrong_settings_are_named(stand_ins, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        evaluate.run(config_of("tomato", stand_ins, "none", tmp_path / "run", *overrides))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["conditions=[full,reversed]"], "conditions has 'reversed', expected some of full"),
        (["conditions=[full,full]"], "at most once"),
        (["conditions=[]"], "at least one"),
        (["num_samples=4"], "num_samples is 4 at temperature 0"),
        (["clip_cache=kept", "benchmark.name=mvbench"], "only a manifest's clips are kept; leave it empty where benchmark.name is given"),
    ],
)
def test_settings_that_contradict_themselves_are_refused_when_read(overrides, message):
    with pytest.raises(ConfigError, match=message):
        load(EvaluateConfig, None, ["model.path=m", "output=o", "manifest=m", *overrides])
