"""Benchmark tables of the report: papers' columns, reported rows with footnotes, both scorers, ablations by lineage, LaTeX, filmstrips."""

import json
from pathlib import Path

import pytest
import yaml
from tests.evaluation.stand_ins import write_official
from tests.evaluation.test_benchmark_runs import config_of
from typer.testing import CliRunner

from videoperceiver.cli import app
from videoperceiver.errors import ConfigError
from videoperceiver.evaluation import evaluate
from videoperceiver.evaluation.ablations import ablation_tables, label, lineage, spans
from videoperceiver.evaluation.bench_tables import benchmark_tables
from videoperceiver.evaluation.benchmarks import BENCHMARKS
from videoperceiver.evaluation.figures import run_figures
from videoperceiver.evaluation.latex import escaped, latex_rows
from videoperceiver.evaluation.report import build_report
from videoperceiver.evaluation.saved import read_saved
from videoperceiver.pages import Column, Estimate, Model, Score, ScoreTable


def answered(name: str, tmp_path: Path, run: str, say, *overrides, model="theirs"):
    """A run on given answers: `say(sample, question, condition)`."""
    annotations = write_official(name, tmp_path / "annotations")
    rows = [
        {"sample": sample.id, "question": question.id, "condition": condition, "completion": say(sample, question, condition)}
        for sample in BENCHMARKS[name].load(annotations).samples
        for question in sample.questions
        for condition in ("full", "degraded")
    ]
    file = tmp_path / f"{run}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("engine.kind=file", f"engine.answers={file}", "conditions=[full,degraded]", "max_new_tokens=0", *overrides)
    return evaluate.run(config_of(name, {name: (annotations, tmp_path)}, model, tmp_path / run, *options)).folder


def right_on_full(sample, question, condition):
    return f"The answer is {question.answer}" if condition == "full" else "I cannot tell"


def cells(table):
    return {(score.model, score.slice): score.estimate.value for score in table.scores}


def test_the_papers_columns_with_both_scorers_and_what_is_reported(tmp_path):
    [run] = read_saved([answered("motionbench", tmp_path, "run", right_on_full)])
    [table] = benchmark_tables([run])  # what is shown where equals the report's own table, so it is not said twice
    assert [column.heading for column in table.columns] == ["Avg", "MR", "LM", "CM", "MO", "AO", "RC"]
    found = cells(table)
    assert found["run", "Avg"] == 1.0
    assert found["run, official scorer", "Avg"] == 0.0  # it reads "The answer is B" as T
    assert found["VideoPerceiver-7B (paper)", "RC"] == 0.61
    assert "exceeds its best category" in table.note
    assert "was not measured on the hidden half" in table.note
    assert "not the complete release" in table.rows[0].description


def test_columns_nobody_reports_stand_in_a_table_of_their_own(tmp_path):
    [run] = read_saved([answered("mvbench", tmp_path, "run", right_on_full)])
    first, rest, shown = benchmark_tables([run])
    assert [column.heading for column in first.columns] == ["Avg"]
    assert cells(first)["Qwen2.5-VL-7B (others)", "Avg"] == pytest.approx(0.696)
    assert [row.name for row in rest.rows][:2] == ["action_sequence", "action_prediction"]
    assert cells(rest)["action_sequence", "run"] == 1.0
    assert [column.heading for column in shown.columns] == ["V", "V′"]


def test_runs_on_several_benchmarks_are_told_beside_each_other_and_never_compared(tmp_path):
    first = answered("motionbench", tmp_path / "a", "one", right_on_full)
    second = answered("tomato", tmp_path / "b", "two", right_on_full)
    report = build_report([first, second], tmp_path / "out")
    assert [caption for caption, _ in report.differences] == ["What the answers rest on: accuracy on V minus accuracy on something else"]
    assert {"MotionBench", "TOMATO", "MotionBench: All questions", "TOMATO: All questions"} <= {table.title for table in report.tables}
    assert any("of TOMATO right on V" in sentence for sentence in report.sentences)


def test_other_protocols_are_refused_unless_forced(tmp_path):
    first = answered("tomato", tmp_path, "first", right_on_full)
    second = answered("tomato", tmp_path, "second", right_on_full, "benchmark.num_frames=8")
    with pytest.raises(ConfigError, match=r"protocol\.num_frames is 16 in one and 8 in the other"):
        build_report([first, second], tmp_path / "out")
    report = build_report([first, second], tmp_path / "out", force=True)
    assert report.differences[0][1][0].estimate.value == 0


def trained(root: Path, name: str, tap_blocks, *, objective="comparative", operator="", weight=0.1) -> Path:
    """What a checkpoint of both stages leaves beside itself."""
    contrastive = {"weight": weight, "tap_blocks": tap_blocks}
    first = {"model": {"path": "Qwen/base"}, "train": ["m"], "contrastive": contrastive, "operator": operator}
    second = {"model": {"path": str(root / f"{name}-sft" / "model")}, "train": ["m"], "reward": {"objective": objective}}
    for folder, config in ((f"{name}-sft", first), (name, second)):
        (root / folder / "model").mkdir(parents=True)
        (root / folder / "config.yaml").write_text(yaml.safe_dump(config))
    return root / name / "model"


def test_a_checkpoint_is_named_by_how_it_was_trained(tmp_path):
    assert label(lineage(trained(tmp_path, "full", [16]))) == "blocks 16, comparative GRPO"
    assert label(lineage(trained(tmp_path, "b", [16], weight=0))) == "no contrastive loss, comparative GRPO"
    assert (
        label(lineage(trained(tmp_path, "a", [13, 14, 15, 16, 20], operator="random", objective="grpo"))) == "random key frames, blocks 13-16, 20, plain GRPO"
    )
    assert lineage("Qwen/base") == []
    assert spans([1, 2, 3, 8]) == "1-3, 8"


def test_ablation_tables_come_from_the_runs(tmp_path):
    runs = []
    for name, blocks in (("full", [16]), ("early", [8])):
        model = trained(tmp_path, name, blocks)
        runs.append(answered("motionbench", tmp_path / "m", f"motion-{name}", right_on_full, model=model))
        runs.append(answered("vru-accident", tmp_path / "v", f"vru-{name}", right_on_full, model=model))
    five, six = ablation_tables(read_saved(runs))
    assert [column.heading for column in five.columns] == ["MotionBench", "VRU-Accident"]
    found = cells(five)
    assert found["blocks 16, comparative GRPO", "MotionBench"] == pytest.approx(1.0)
    assert found["blocks 16, comparative GRPO", "VRU-Accident"] == pytest.approx(1.0)
    assert found["A, random key frames (paper)", "MotionBench"] == 0.53
    assert cells(six)["blocks 8, comparative GRPO, 1 fps", "Avg"] == 1.0
    assert "28" in six.note
    assert ablation_tables(read_saved(runs[:2])) == []


def test_latex_rows_are_escaped_and_complete():
    scores = [Score("a_b & 50 %", "x", "", Estimate(0.5, 0.4, 0.6)), Score("other", "x", "", Estimate(None))]
    table = ScoreTable("T", [Model("a_b & 50 %"), Model("other")], [Column("x", "", "V′")], scores)
    text = latex_rows([table])
    assert r"a\_b \& 50 \% & 50.0$_{[40.0, 60.0]}$ \\" in text
    assert r"other & -- \\" in text
    assert r"V$'$" in text
    assert escaped("\\x\x1b{~}") == r"\textbackslash{}x␛\{\textasciitilde{}\}"


def test_filmstrips_come_from_what_a_run_saw(stand_ins, bench_model, tmp_path):
    seen = evaluate.run(config_of("tomato", stand_ins, bench_model, tmp_path / "seen", "conditions=[full,degraded]")).folder
    given = answered("tomato", tmp_path, "given", right_on_full)
    look_up = run_figures([seen, given])
    figure = look_up("human/k1")
    assert len(figure.t_s) == 12
    assert len(figure.frames) == len(figure.frames_idx) <= 16
    assert figure.operator == "hold"
    assert look_up("human/k9") is None


def test_the_command_line_prints_tables_and_writes_every_file(stand_ins, bench_model, tmp_path):
    config = config_of("tomato", stand_ins, bench_model, tmp_path / "run", "conditions=[full,degraded]")
    fields = [f"benchmark.{key}={getattr(config.benchmark, key)}" for key in ("name", "annotations", "videos")]
    (tmp_path / "evaluate.yaml").write_text("evidence: {keywords: question, relevance: motion}\nmax_new_tokens: 3\nmodel: {path: x, dtype: float32}\n")
    runner = CliRunner()
    result = runner.invoke(app, ["evaluate", str(tmp_path / "evaluate.yaml"), *fields, f"model.path={bench_model}", f"output={tmp_path / 'run'}"])
    assert result.exit_code == 0, result.output
    assert "TOMATO, protocol" in result.stdout
    assert "full (official scorer)" in " ".join(result.stdout.split())
    result = runner.invoke(app, ["report", str(tmp_path / "run"), "--out", str(tmp_path / "report")])
    assert result.exit_code == 0, result.output
    assert "TOMATO" in result.stdout
    assert sorted(path.suffix for path in (tmp_path / "report").iterdir()) == [".html", ".json", ".md", ".tex"]
    assert 'class="strip"' in (tmp_path / "report" / "report.html").read_text()
