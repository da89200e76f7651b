"""Stage 2's rewards and V' for verl, for runs that outgrow this trainer (verl: PPO and GRPO on Ray, https://github.com/volcengine/verl).

`export` writes a manifest as verl's rows: V and V' of each question, V' as an index map over the same frame files. `compute_score` is what
verl's default reward manager calls for each completion, `compute_scores` what its `batch` manager calls for a batch, where eq. (8) can pair V with V'.
Checked against verl's source of 2026-01; verl itself is not run here. What verl cannot do is in docs/rollout-engines.md.
"""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image

from videoperceiver import answers
from videoperceiver.data.clips import ClipStore
from videoperceiver.rewards.base import DEFAULT_WEIGHTS, BaseReward
from videoperceiver.rewards.comparator import comparative_rewards
from videoperceiver.types import BLANK, BLANK_LEVEL, Question, Sample

FULL, DEGRADED = "full", "degraded"


def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None, *, vneg: float = 0.0, **_: Any
) -> dict[str, float]:
    """One completion's reward, by verl's argument names.

    On V: r_b + Q. On V': -vneg * Q, so that with vneg = 0 all completions of its group score the same and none of them is trained on; with vneg > 0
    right answers without the event are pushed down (method section 7). verl cannot leave a completion out, so one that cannot be read counts as
    wrong, as it does in our metrics, and is told apart by `unscored`.

    Args:
        data_source: unused; ours is in extra_info.
        solution_str: the completion, decoded.
        ground_truth: the reference answer.
        extra_info: as `export` wrote it.
        vneg: custom_reward_function.reward_kwargs.vneg.

    Returns:
        "score" and what verl logs beside it: "q", "base", "unscored".
    """
    del data_source
    question, branch = _question(ground_truth, extra_info)
    q, base = _q(solution_str, question), _base(solution_str, question)
    known = 0.0 if math.isnan(q) else q
    score = base + known if branch == FULL else -vneg * known
    return {"score": score, "q": known, "base": base, "unscored": float(math.isnan(q))}


def compute_scores(
    data_sources: Sequence[str],
    solution_strs: Sequence[str],
    ground_truths: Sequence[str],
    extra_infos: Sequence[Mapping[str, Any]],
    *,
    alpha: float = 1.0,
    vneg: float = 0.0,
    **_: Any,
) -> list[dict[str, float]]:
    """A batch's rewards, by the argument names of verl's `batch` reward manager: r_b + alpha (Q(y_i) - Q(y'_i)) on V, eq. (8).

    The i-th completion on V is paired with the i-th on V' of the same question in the batch; a question whose V' is elsewhere gets r_b + alpha Q.
    verl's GRPO subtracts the group's mean afterwards, so eq. (9)'s baseline has no place there and the pairing only adds noise (docs/method.md proves it);
    V' enters the gradient through vneg.
    """
    scores = [
        compute_score(source, text, truth, info, vneg=vneg)
        for source, text, truth, info in zip(data_sources, solution_strs, ground_truths, extra_infos, strict=True)
    ]
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, info in enumerate(extra_infos):
        groups[info["question"], info["branch"]].append(i)
    for (question, branch), rows in groups.items():
        if branch == DEGRADED:
            continue
        other = groups.get((question, DEGRADED), [])
        q, q_degraded = (torch.tensor([[scores[i]["q"] for i in chosen]]) for chosen in (rows, other))
        compared = comparative_rewards(q, q_degraded) if other else q
        for i, reward in zip(rows, compared[0].tolist(), strict=True):
            scores[i]["score"] = scores[i]["base"] + alpha * reward
    return scores


def export(source: str | Path, folder: str | Path, *, split: str = "train") -> Path:
    """Writes a manifest's closed questions as verl's rows, and the frames they show.

    Open questions are left out: their Q needs a model that verl's reward function would have to hold.

    Args:
        source: a manifest file.
        folder: gets `rows.parquet` (data.train_files) and `frames/`, lossless.
        split: of the samples.

    Returns:
        The parquet file.

    Raises:
        VideoReadError: a clip cannot be read.
        ConfigError: no sample of that split.
    """
    folder = Path(folder).resolve()
    store = ClipStore([source], lambda frames: frames, split=split)
    rows = []
    for sample in store.samples:
        closed = [question for question in sample.questions if question.kind != "open"]
        if closed:
            shown = _write_frames(folder / "frames" / sample.id.replace("/", "_"), store.clip(sample).frames, sample)
            pairs = [(q, branch) for q in closed for branch in shown if branch == FULL or not q.static]  # V' shows a static question's answer too
            rows += [_row(sample, q, branch, shown[branch], len(rows) + i) for i, (q, branch) in enumerate(pairs)]
    target = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(rows), target)
    return target


def _write_frames(folder: Path, frames: np.ndarray, sample: Sample) -> dict[str, list[str]]:
    """Files of V, and of V' where there is one: the same files by its index map."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{i:05d}.png" for i in range(len(frames))]
    for file, pixels in zip(files, frames, strict=True):
        Image.fromarray(pixels).save(file)
    shown = {FULL: [file.as_uri() for file in files]}
    if sample.degradation is not None:
        blank = folder / "blank.png"
        if BLANK in sample.degradation.source_idx:
            Image.fromarray(np.full_like(frames[0], BLANK_LEVEL)).save(blank)
        shown[DEGRADED] = [(blank if i == BLANK else files[i]).as_uri() for i in sample.degradation.source_idx]
    return shown


def _row(sample: Sample, question: Question, branch: str, files: list[str], index: int) -> dict[str, Any]:
    span = sample.t_s[-1] - sample.t_s[0]
    told = {"kind": question.kind, "options": list(question.options), "family": question.family, "static": question.static}
    return {
        "data_source": "videoperceiver",
        "prompt": [{"role": "user", "content": f"<video>{question.text}"}],
        "videos": [{"video": files, "sample_fps": (len(files) - 1) / span if span > 0 else 1.0}],
        "reward_model": {"style": "rule", "ground_truth": question.answer},
        "extra_info": {"index": index, "sample": sample.id, "question": f"{sample.id}/{question.id}", "branch": branch, "asked": json.dumps(told)},
    }


def _question(ground_truth: str, extra_info: Mapping[str, Any] | None) -> tuple[Question, str]:
    info = extra_info or {}
    missing = {"question", "branch", "asked"} - set(info)
    if missing:
        raise ValueError(f"extra_info lacks {', '.join(sorted(missing))}: got {sorted(info)}; write the rows with videoperceiver.training.verl_adapter.export")
    told = json.loads(info["asked"])
    return Question(info["question"], "", ground_truth, told["kind"], told["family"], tuple(told["options"]), told["static"]), info["branch"]


def _q(text: str, question: Question) -> float:
    return answers.compare(text, question.answer, question.kind, question.options)


_base = BaseReward(DEFAULT_WEIGHTS)
