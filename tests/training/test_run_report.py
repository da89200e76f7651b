"""The page of a training run: what it says, from folders with and without each part, and that the stages write it."""

import json

import pytest
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.config import load
from videoperceiver.errors import RunError, SampleError
from videoperceiver.runs import Run
from videoperceiver.stages import EvaluateConfig, GrpoConfig, SftConfig
from videoperceiver.training.run_report import assemble, write_report


@pytest.fixture
def sft_run(tmp_path):
    data = tmp_path / "manifest.parquet"
    data.write_bytes(b"data")
    config = load(SftConfig, None, ["model.path=folder/model", f"train=[{data}]", f"output={tmp_path / 'stage1'}", "steps=40"])
    run = Run.open_or_create(config.output, config, stage="sft", data=config.train)
    for step in range(40):
        held = {"held_out/accuracy_full": 0.25 + step / 100, "held_out/accuracy_degraded": 0.2} if step % 10 == 9 else {}
        shares = {"wait_share": 0.1, "vision_share": 0.2, "contrastive_share": 0.3, "llm_share": 0.4}
        run.log(step, loss=4.0 - step / 20, tv_b8=2.0, tv_b16=3.0 - step / 40, text_prefers_v=step / 40, lr=1e-3 * step, clips=16, step_s=2.0, **shares, **held)
    run.reject(SampleError("the file ends early", path="a.mp4", sample_id="a<b>"))
    run.reject(SampleError("the file ends early", path="c.mp4", sample_id="c"))
    return run


def group(step, sample="s1", text="what colour?"):
    return {
        "step": step,
        "sample": sample,
        "question": text,
        "reference": "red",
        "full": ["red", f"blue {step}", "?!"],
        "degraded": ["green", "<script>alert(1)</script>"],
        "quality": [1.0, 0.0, None],
        "quality_degraded": [0.0, 0.0],
        "tries": [0, 2, 0],
    }


@pytest.fixture
def grpo_run(tmp_path):
    data = tmp_path / "manifest.parquet"
    data.write_bytes(b"data")
    config = load(GrpoConfig, None, ["model.path=m", f"train=[{data}]", f"output={tmp_path / 'stage2'}", "steps=30", "watch.window=5"])
    run = Run.open_or_create(config.output, config, stage="grpo", data=config.train)
    for step in range(30):
        noise = 0.01 * (step % 2)
        times = {"step_s": 1.0, "vision_s": 0.1, "rollout_full_s": 0.3, "rollout_degraded_s": 0.2, "reward_s": 0.1, "update_s": 0.3}
        run.log(step, q=0.5 + noise, q_degraded=0.5 - step / 100 + noise, entropy=2.0, length=4.0, loss=0.1 * step, warn_hacking=0, **times)
    rows = [group(0), group(10, "s2"), group(20), group(29, "s3")]
    run.write_text("samples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    run.finish()
    return run


def test_stage_1_is_told_in_words_and_numbers(sft_run):
    report = assemble(sft_run)
    assert report.title == "The loss went from 3.92 to 2.12 in 40 steps"  # means of the first and last four: 4 - 1.5 / 20 and 4 - 37.5 / 20
    assert report.sentences[0] == "Held-out accuracy on V: 34.0\u00a0% after step 10, 64.0\u00a0% after step 40; 20.0\u00a0% on V′."
    assert report.facts["steps"] == "40 of 40"
    assert report.facts["model"] == "folder/model"
    assert report.facts["status"] == "running"
    assert report.rejects == [("the file ends early", 2, "c")]
    phases = {phase.name: phase.seconds for phase in report.phases}
    assert phases == pytest.approx({"waiting for clips": 8.0, "vision tower": 16.0, "contrastive terms": 24.0, "language model and the rest": 32.0})
    assert any("not finished" in note for note in report.notes)
    assert any("clips a step 16" in note for note in report.notes), "what never changes is told, not drawn"


def test_curves_are_grouped_and_nothing_is_lost(sft_run):
    groups = {found.title: [panel.key for panel in found.panels] for found in assemble(sft_run).curves}
    assert groups["On V and on V′"] == ["pair/accuracy on held-out clips"]
    assert groups["Losses"] == ["sft/loss", "sft/tv_b16"], "tv_b8 never changes"
    assert groups["What the representation tells apart"] == ["sft/text_prefers_v"]
    drawn = {key for keys in groups.values() for key in keys}
    assert {"sft/lr"} <= drawn
    sft_run.log(40, loss=1.0, something_new=3.0)
    sft_run.log(41, loss=1.0, something_new=4.0)
    assert "sft/something_new" in [panel.key for panel in assemble(sft_run).curves[-1].panels]


def test_stage_2_shows_quality_apart_samples_side_by_side_and_its_warnings(grpo_run):
    report = assemble(grpo_run)
    assert report.title.startswith("Q on V went from 50")
    assert report.curves[0].title == "On V and on V′"
    assert [series[-1]["pair/Q of training questions"] for series in report.curves[0].series.values()] == pytest.approx([0.51, 0.22])
    assert [(found.step, found.sample) for found in report.samples] == [(0, "s1"), (20, "s1")], "the question that came up twice, early and late"
    assert [told.tries for told in report.samples[0].full] == [0, 2, 0]
    assert len(report.warnings) == 1
    assert "Q on V' fell" in report.warnings[0]
    assert {phase.name for phase in report.phases} == {"vision tower", "completions on V", "completions on V′", "rewards", "update"}


def test_the_page_is_whole_safe_and_names_everything(grpo_run, tmp_path):
    text = write_report(grpo_run.folder).read_text()
    assert (grpo_run.folder / "report.html").is_file()
    for said in (
        "What was said on V and on V′",
        "blue 20",
        "asked again 2 times",
        "sampling.num_generations",
        "transformers",
        "manifest.parquet",
        "Where the time went",
    ):
        assert said in text, said
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "http" not in text.split("</style>")[1].split("Settings")[0], "nothing is loaded from anywhere"
    elsewhere = write_report(grpo_run.folder, tmp_path / "new" / "folder")
    assert elsewhere.read_text() == text


def test_a_run_that_has_only_begun(tmp_path):
    data = tmp_path / "m.parquet"
    data.write_bytes(b"")
    config = load(SftConfig, None, ["model.path=m", f"train=[{data}]", f"output={tmp_path / 'run'}"])
    run = Run.open_or_create(config.output, config, stage="sft", data=config.train)
    assert "Nothing was logged yet" in write_report(run.folder).read_text()


def test_other_runs_and_damaged_files_are_refused(tmp_path, grpo_run):
    config = load(EvaluateConfig, None, ["model.path=m", "manifest=x", f"output={tmp_path / 'evaluation'}"])
    Run.open_or_create(config.output, config, stage="evaluate")
    with pytest.raises(RunError, match="stage 'evaluate'"):
        write_report(config.output)
    with pytest.raises(RunError, match="not a run folder"):
        write_report(tmp_path / "nowhere")
    (grpo_run.folder / "samples.jsonl").write_text("{broken\n")
    with pytest.raises(RunError, match=r"samples\.jsonl: a line is not JSON"):
        write_report(grpo_run.folder)
    (grpo_run.folder / "samples.jsonl").write_text(json.dumps(group(3)) + '\n{"step": 4, torn')
    assert "blue 3" in write_report(grpo_run.folder).read_text(), "a torn last line, left by a kill, is not one"


def test_the_command_writes_the_page_of_a_training_run_alone(grpo_run, tmp_path):
    done = CliRunner().invoke(app, ["report", str(grpo_run.folder), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "What was said on V and on V′" in (tmp_path / "out" / "report.html").read_text()


def test_a_stage_leaves_its_page(tiny_model, rendered, tmp_path):
    from videoperceiver.training import sft

    small = ["model.dtype=float32", "model.gradient_checkpointing=false", "contrastive.tap_blocks=[2]", "steps=3", "batch_size=2", "instruction_share=0"]
    words = ["caption_prompt=describe the video ."]
    run = sft.run(load(SftConfig, None, [f"model.path={tiny_model}", f"train=[{rendered}]", f"output={tmp_path / 'run'}", *small, *words]))
    assert "in 3 steps" in (run.folder / "report.html").read_text()
