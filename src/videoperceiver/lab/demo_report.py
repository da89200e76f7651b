"""The demo's report: result.json with every number, report.html with what they mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from videoperceiver.data import manifest
from videoperceiver.data.present import figure_of
from videoperceiver.evaluation import statistics
from videoperceiver.evaluation.evaluate import read_predictions
from videoperceiver.evaluation.figures import THUMBNAIL_PX
from videoperceiver.evaluation.metrics import majority_accuracy
from videoperceiver.lab.demo_chain import MODELS, TESTS, Demo
from videoperceiver.lab.worlds import RELIABILITY
from videoperceiver.pages import (
    Answer,
    AnsweredQuestion,
    ClipFigure,
    CurveGroup,
    CurvePanel,
    DemoReport,
    Difference,
    Estimate,
    Model,
    Phase,
    Score,
    demo_page,
    demo_steps,
)
from videoperceiver.runs import Run
from videoperceiver.types import Sample
from videoperceiver.video.read import read_clip

NAMES = {"backbone": "backbone", "plain": "plain fine-tuning", "stage1": "stage 1", "stage2": "stage 2"}
DESCRIPTIONS = {
    "backbone": "warmed up on plainer events",
    "plain": "same clips, same number of steps",
    "stage1": "contrastive loss and V′ terms",
    "stage2": "comparative GRPO",
}
CONDITIONS = {"full": "V", "degraded": "V′"}
PAIRS = (("stage1", "plain", "conflict"), ("stage1", "backbone", "agree"), ("stage2", "stage1", "conflict"), ("stage2", "stage1", "agree"))
NUM_FIGURES = 3
SFT_PANELS = (
    CurvePanel("sft/ce", "cross-entropy of answers"),
    CurvePanel("sft/contrastive", "contrastive loss"),
    CurvePanel("sft/t2v_r1", "keywords find their clip", percent=True),
    CurvePanel("sft/text_prefers_v", "keywords prefer V to V′", percent=True),
)
GRPO_PANELS = (
    CurvePanel("grpo/q", "right on V", percent=True),
    CurvePanel("grpo/q_degraded", "right on V′", percent=True),
    CurvePanel("grpo/refeed_rate", "asked again", percent=True),
    CurvePanel("grpo/entropy", "entropy"),
)


def write(demo: Demo) -> None:
    """Writes result.json and report.html into the demo's run folder."""
    rows = {(model, half): event_rows(demo.runs[f"{model}-{half}"].folder) for model in MODELS for half in TESTS}
    scores = [
        Score(NAMES[model], half, name, _estimate(statistics.summarize(rows[model, half])["accuracy"][condition]["all"]))
        for model, half in rows
        for condition, name in CONDITIONS.items()
    ]
    differences = [_difference(rows, *pair) for pair in PAIRS]
    demo.run.write_json("result.json", {"accuracy": _numbers(scores), "differences": _numbers(differences), "seconds": demo.seconds, "seed": demo.config.seed})
    report = DemoReport(
        models=[Model(NAMES[m], DESCRIPTIONS[m], ours=m.startswith("stage")) for m in MODELS],
        scores=scores,
        differences=differences,
        chance={half: majority_accuracy([row for row in rows["backbone", half] if row["condition"] == "full"]) for half in TESTS},
        clips=rendered_figures(demo),
        real_clips=real_figures(demo),
        curves=_curves(demo),
        phases=[Phase(name, seconds) for name, seconds in demo.seconds.items()],
        steps=_steps(demo),
        facts={"seed": str(demo.config.seed), "test clips": f"2 × {demo.config.test_clips}"},
        settings={name: _settings(demo.runs[name]) for name in ("stage1", "stage2")},
    )
    demo.run.write_text("report.html", demo_page(report))


def event_rows(folder: Path) -> list[dict[str, Any]]:
    """Predictions about events: the dense question about the scenery is no part of the headline."""
    return [row for row in read_predictions(folder / "predictions.jsonl") if not row["static"]]


def rendered_figures(demo: Demo) -> list[ClipFigure]:
    """Test clips whose cue is wrong, with every model's answers."""
    path = demo.folder / "data" / "conflict" / "manifest.parquet"
    answers = {
        model: {(r["sample"], r["question"]): r for r in event_rows(demo.runs[f"{model}-conflict"].folder) if r["condition"] == "full"} for model in MODELS
    }
    return [_figure(path, sample, "frame difference", _answered(sample, answers)) for sample in manifest.read(path)[:NUM_FIGURES]]


def real_figures(demo: Demo) -> list[ClipFigure]:
    """The real clips, with what detection found."""
    path = demo.folder / "data" / "real" / "manifest.parquet"
    return [_figure(path, sample, "tags, sentence vectors and motion (proxy)", ()) for sample in manifest.read(path)[:NUM_FIGURES]]


def _figure(path: Path, sample: Sample, relevance: str, answers: Sequence[AnsweredQuestion]) -> ClipFigure:
    clip = read_clip(manifest.resolve(path, sample), t_s=sample.t_s, size_px=THUMBNAIL_PX)
    return figure_of(sample, clip, title=sample.caption or sample.id, relevance=relevance, answers=answers)


def _answered(sample: Sample, answers: dict[str, dict]) -> list[AnsweredQuestion]:
    return [
        AnsweredQuestion(
            q.text, q.answer, tuple(Answer(NAMES[m], rows[sample.id, q.id]["completion"], rows[sample.id, q.id]["score"] == 1) for m, rows in answers.items())
        )
        for q in sample.questions
        if not q.static
    ]


def _difference(rows: dict[tuple[str, str], list[dict]], model: str, against: str, half: str) -> Difference:
    on_full = [[row for row in rows[name, half] if row["condition"] == "full"] for name in (model, against)]
    found = statistics.compare(*on_full).difference
    label = f"{NAMES[model]} − {NAMES[against]}, cue {'agrees' if half == 'agree' else 'conflicts'}"
    return Difference(label, Estimate(found.value, found.low, found.high, found.num), model=NAMES[model], against=NAMES[against], slice=half)


def _estimate(found: dict[str, Any]) -> Estimate:
    return Estimate(found["value"], found["low"], found["high"], found["num"])


def _numbers(records: Sequence[Score | Difference]) -> list[dict[str, Any]]:
    """Scores and differences as JSON."""
    return [{name: value for name, value in vars(record).items() if name != "estimate"} | vars(record.estimate) for record in records]


def _curves(demo: Demo) -> list[CurveGroup]:
    stage1, plain, stage2 = (demo.runs[name].metrics() for name in ("stage1", "plain", "stage2"))
    return [
        CurveGroup(
            "Stage 1 and plain fine-tuning", {"stage 1": stage1, "plain fine-tuning": plain}, SFT_PANELS, "Plain fine-tuning has no contrastive loss to show."
        ),
        CurveGroup(
            "Stage 2",
            {"stage 2": stage2},
            GRPO_PANELS,
            "Right on V and right on V′ are shown apart: a policy can raise their difference by getting worse on V′.",
        ),
    ]


def _settings(run: Run) -> dict[str, object]:
    fields = yaml.safe_load((run.folder / "config.yaml").read_text(encoding="utf-8"))
    return {key: value for key, value in fields.items() if key not in ("train", "output", "model")}


def _steps(demo: Demo) -> tuple[tuple[str, str], ...]:
    config = demo.config
    return demo_steps(
        num_train=config.train_clips + config.grpo_clips,
        num_validation=0,
        num_test=2 * config.test_clips,
        num_real=len(manifest.read(demo.folder / "data" / "real" / "manifest.parquet")),
        num_frames=16,
        event_frames=(1, 1),
        cue_reliability=RELIABILITY,
        num_parameters=1_200_000,
        backbone_steps=sum(config.backbone_steps),
        sft_steps=config.sft_steps,
        grpo_steps=config.grpo_steps,
        num_generations=8,
    )
