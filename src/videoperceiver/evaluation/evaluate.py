"""Evaluation of a model on a manifest or a public benchmark: every question of a clip branches off one pass over its video.

Each condition shows the model another version of the clip: `full` is V, `degraded` V', `shuffled` and `blank` are controls, `text` is the question
alone. How much an answer rests on the key frames is the gap between `full` and `degraded`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from videoperceiver.data.ahead import ahead
from videoperceiver.errors import SampleError
from videoperceiver.evaluation.engines import Ask, Engine, GivenAnswers, Said, TreeEngine
from videoperceiver.evaluation.ledger import PREDICTIONS, Ledger, iterate
from videoperceiver.evaluation.material import Material, View, open_material, sources
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.evaluation.results import results
from videoperceiver.progress import stage_progress
from videoperceiver.runs import Run
from videoperceiver.stages import EvaluateConfig
from videoperceiver.types import Clip, Degradation, Question, Sample
from videoperceiver.video.degrade import apply, degrade

CONTROLS = {"shuffled": "shuffle", "blank": "blank"}
"""Condition -> operator over the whole clip."""


def run(config: EvaluateConfig) -> Run:
    """Answers every question under every condition, resuming after the last batch that was written."""
    run = Run.open_or_create(config.output, config, stage="evaluate", data=sources(config))
    if run.finished:
        return run
    material = open_material(config)
    num_samples = len(material.samples) + len({error.sample_id for error in material.problems})
    for error in material.problems:
        run.reject(error)
    run.check_rejects(config.max_reject_rate, seen=num_samples)
    engine = open_engine(config, material.protocol, run.folder)
    ledger = Ledger(run)
    left = material.samples[ledger.done :]
    views = ahead(_views(material, left, engine), size=2)
    with stage_progress(f"evaluate · {run.folder.name}", len(material.samples), ledger.done) as advance:
        for first in range(0, len(left), config.batch_size):
            size = len(left[first : first + config.batch_size])
            seen = []
            for view in (next(views) for _ in range(size)):
                _sort_out(run, view, seen)
            rows, kept = predict(engine, material, seen, config, run)
            ledger.commit(size, rows, [view.record() for view in kept])
            run.check_rejects(config.max_reject_rate, seen=num_samples)
            advance(steps=size)
    run.write_json("result.json", results(run, config, material, unused=engine.unused() if isinstance(engine, GivenAnswers) else []))
    run.finish()
    return run


def open_engine(config: EvaluateConfig, protocol: Protocol, folder: Path) -> Engine:
    """The engine a config names; an endpoint's answers are kept in the run's folder."""
    if config.engine.kind == "tree":
        return TreeEngine(config.model)
    if config.engine.kind == "file":
        return GivenAnswers(config.engine.answers, config.model.path)
    from videoperceiver.evaluation.endpoint import EndpointEngine

    return EndpointEngine(config.engine, config.model.path, protocol, folder / "answers")


def read_predictions(path: Path) -> list[dict]:
    """Rows of predictions.jsonl; none where there is no file."""
    return list(iterate(path))


def _views(material: Material, samples: Sequence[Sample], engine: Engine) -> Iterator[View | SampleError]:
    for sample in samples:
        try:
            yield material.view(sample, engine.fit)
        except SampleError as error:
            yield error if error.sample_id else type(error)(error.reason, path=error.path or sample.video, sample_id=sample.id)


def _sort_out(run: Run, view: View | SampleError, seen: list[View]) -> None:
    if isinstance(view, SampleError):
        run.reject(view)
    else:
        seen.append(view)


def predict(engine: Engine, material: Material, views: Sequence[View], config: EvaluateConfig, run: Run) -> tuple[list[dict[str, Any]], list[View]]:
    """Prediction rows of a batch under every condition its clips have, and the views that were answered; the others go to the run's rejects."""
    asks = [(view, ask) for view in views for condition in config.conditions for ask in asked(view, condition, material.protocol, config.seed)]
    said = engine.answer([ask for _, ask in asks], material.protocol) if asks else []
    failed = {ask.sample_id: answer for (_, ask), answer in zip(asks, said, strict=True) if isinstance(answer, SampleError)}
    for error in failed.values():
        run.reject(error)
    rows = [
        row
        for (view, ask), answer in zip(asks, said, strict=True)
        if ask.sample_id not in failed and not isinstance(answer, SampleError)
        for row in predictions(view, ask, answer, material)
    ]
    return rows, [view for view in views if view.sample.id not in failed]


def asked(view: View, condition: str, protocol: Protocol, seed: int) -> list[Ask]:
    """A view's questions under a condition, one ask a version of the clip: questions whose V' is the same share it, those without one are left out."""
    sample, versions = view.sample, dict[tuple[int, ...], tuple[Clip | None, list[Question]]]()
    for question in sample.questions:
        made = view.degraded.get(question.id) if condition == "degraded" else None
        if condition == "degraded" and made is None and view.clip is not None:
            continue
        key = made.source_idx if made is not None else ()
        if key not in versions:
            versions[key] = (shown(view.clip, condition, made, seed), [])
        versions[key][1].append(question)
    return [
        Ask(
            sample_id=sample.id,
            condition=condition,
            clip=clip,
            ids=tuple(question.id for question in questions),
            questions=tuple(protocol.spelled(question.text) for question in questions),
            seeds=tuple(_seed(seed, sample.id, question.id, condition) for question in questions),
        )
        for clip, questions in versions.values()
    ]


def shown(clip: Clip | None, condition: str, made: Degradation | None, seed: int) -> Clip | None:
    """What the model sees under a condition; None for the question alone, and where no video is read."""
    if clip is None or condition == "text":
        return None
    if condition == "full":
        return clip
    made = made if condition == "degraded" else degrade(len(clip), CONTROLS[condition], runs=[], keyframes_idx=(), seed=seed)
    return clip if made is None else apply(clip, made)  # a clip of one frame has no other order


def _seed(seed: int, *names: str) -> int:
    """A question's own seed, so that its draws depend on nothing it is batched with."""
    return int.from_bytes(hashlib.sha256("/".join([str(seed), *names]).encode()).digest()[:4])


def predictions(view: View, ask: Ask, said: Said, material: Material) -> Iterator[dict[str, Any]]:
    """Rows of predictions.jsonl; `score` is null where nothing can be scored. Of several draws `score` is the mean, an unreadable draw counting 0."""
    questions = {question.id: question for question in view.sample.questions}
    for name, texts in zip(ask.ids, said, strict=True):
        question = questions[name]
        read = [material.read(text, question) for text in texts]
        scores = [score for _, score in read]
        extracted = [given for given, _ in read]
        score = scores[0]
        if len(texts) > 1 and not all(np.isnan(scores)):
            score = float(np.mean(np.nan_to_num(scores) if question.kind != "open" else [value for value in scores if not np.isnan(value)]))
        several = {"completions": texts, "scores": [None if np.isnan(value) else value for value in scores]} if len(texts) > 1 else {}
        yield {
            "sample": view.sample.id,
            "question": question.id,
            "family": question.family,
            "kind": question.kind,
            "static": question.static,
            "condition": ask.condition,
            "text": question.text,
            "options": list(question.options),
            "completion": texts[0],
            "extracted": extracted[0] if len(texts) == 1 else Counter(extracted).most_common(1)[0][0],
            "reference": question.answer,
            "score": None if np.isnan(score) else score,
            "tags": dict(view.sample.tags),
            "num_frames": 0 if ask.condition == "text" else len(view.sample.t_s),
            "video": view.sample.video,
            **several,
        }


__all__ = ["PREDICTIONS", "asked", "open_engine", "predict", "predictions", "read_predictions", "run", "shown"]
