"""Evaluation of a model on a manifest: every question of a clip branches off one pass over its video.

Each condition shows the model another version of the clip: `full` is V, `degraded` the manifest's V', `shuffled` and `blank`
are controls. How much an answer rests on the key frames is the gap between `full` and `degraded`.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from videoperceiver import answers
from videoperceiver.data.clips import ClipStore
from videoperceiver.errors import SampleError
from videoperceiver.evaluation.statistics import summarize
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.build import TreeBuilder
from videoperceiver.models.generate import Completion, generate
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.stages import EvaluateConfig
from videoperceiver.types import Clip, Question, Sample
from videoperceiver.video.degrade import apply, degrade

CONTROLS = {"shuffled": "shuffle", "blank": "blank"}
"""Condition -> operator over the whole clip."""


def run(config: EvaluateConfig) -> Run:
    """Answers every question under every condition, resuming after the last sample with predictions."""
    run = Run.open_or_create(config.output, config, stage="evaluate", data=[config.manifest])
    if run.finished:
        return run
    backbone = Backbone.load(config.model.path, dtype=config.model.dtype, attention=config.model.attention, video_times=config.model.video_times)
    store = ClipStore([config.manifest], backbone.adapter.fit, split=config.split)
    samples = store.samples[: config.limit or None]
    path = run.folder / "predictions.jsonl"
    done = {row["sample"] for row in read_predictions(path)}
    left = [s for s in samples if s.id not in done]
    with path.open("a") as out, stage_progress(f"evaluate · {run.folder.name}", len(samples), len(samples) - len(left)) as advance:
        for first in range(0, len(left), config.batch_size):
            batch = left[first : first + config.batch_size]
            out.write("".join(json.dumps(row) + "\n" for row in predict(backbone, list(_clips(store, batch, run, config.max_reject_rate)), config)))
            out.flush()
            advance(steps=len(batch))
    run.write_json("result.json", summarize(read_predictions(path), seed=config.seed))
    run.finish()
    return run


def read_predictions(path: Path) -> list[dict]:
    """Rows of predictions.jsonl; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _clips(store: ClipStore, batch: Sequence[Sample], run: Run, max_reject_rate: float) -> Iterator[tuple[Sample, Clip]]:
    for sample in batch:
        try:
            yield sample, store.clip(sample)
        except SampleError as error:
            run.reject(error)
            run.check_rejects(max_reject_rate, seen=len(store.samples))


def predict(backbone: Backbone, clips: Sequence[tuple[Sample, Clip]], config: EvaluateConfig) -> list[dict]:
    """Prediction rows of a batch of clips, greedy, under every condition the clips have."""
    trees, leaves, asked = [], [], []
    for sample, clip in clips:
        for condition in config.conditions:
            version = shown(sample, clip, condition, config.seed)
            if version is None:
                continue
            builder = TreeBuilder(backbone, version, sample_id=sample.id, max_tokens=config.model.max_tokens)
            video = builder.video()
            leaves.append([builder.question(video, question.text) for question in sample.questions])
            trees.append(builder.tree())
            asked.append((sample, condition))
    drawn = generate(backbone, trees, leaves, num_generations=1, max_new_tokens=config.max_new_tokens, temperature=0.0, seed=config.seed)
    return [
        prediction(sample, question, condition, completion)
        for (sample, condition), completions in zip(asked, drawn, strict=True)
        for question, [completion] in zip(sample.questions, completions, strict=True)
    ]


def shown(sample: Sample, clip: Clip, condition: str, seed: int) -> Clip | None:
    """What the model sees under a condition; None where the clip does not have it (no V')."""
    if condition == "full":
        return clip
    made = sample.degradation if condition == "degraded" else degrade(len(clip), CONTROLS[condition], runs=[], keyframes_idx=(), seed=seed)
    return None if made is None else apply(clip, made)


def prediction(sample: Sample, question: Question, condition: str, completion: Completion) -> dict:
    """One row of predictions.jsonl; `score` is null where the completion cannot be scored."""
    score = answers.compare(completion.text, question.answer, question.kind, question.options)
    return {
        "sample": sample.id,
        "question": question.id,
        "family": question.family,
        "kind": question.kind,
        "static": question.static,
        "condition": condition,
        "text": question.text,
        "completion": completion.text,
        "extracted": answers.extract(completion.text, question.kind, question.options),
        "reference": question.answer,
        "score": None if np.isnan(score) else score,
        "tags": dict(sample.tags),
        "num_frames": len(sample.t_s),
        "video": sample.video,
    }
