"""What a model's inside says about the events: keywords against clips, a linear probe for event presence, attention from the question.

Probes look at models that are trained already, with plain transformers and clips whose cues say nothing; nothing is trained but the linear probe.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import rankdata
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.video_utils import VideoMetadata

from videoperceiver.data.clips import ClipStore
from videoperceiver.lab import worlds
from videoperceiver.lab.arms import Unit, model_folder, seed_folder
from videoperceiver.lab.study import StudyConfig
from videoperceiver.models.backbone import Backbone
from videoperceiver.runs import write_atomic
from videoperceiver.training.alignment import measure
from videoperceiver.types import Clip, Sample

TEST = "independent"
PATCH_FRAMES = 2
"""Frames of a temporal patch: what a model of this family sees as one."""
RIDGE = 10.0
QUESTION = "pop_colour"
"""Whose prompt the attention is read at: its answer is in one frame."""


@dataclass(frozen=True)
class Inside:
    """Hidden states and attention of a clip.

    Attributes:
        states: (blocks + 1, patches, D) mean over each temporal patch's tokens; entry 0 are the embeddings.
        attention: (blocks, patches) mass from the prompt's last token, mean over heads; sums to the share that goes to the video.
        has_event: (patches,) bool, whether an event is seen in the patch.
        has_pop: (patches,) bool, whether the pop is.
    """

    states: np.ndarray
    attention: np.ndarray
    has_event: np.ndarray
    has_pop: np.ndarray


def probe(model: Path, manifest: Path, tap_block: int, num_clips: int) -> dict[str, float]:
    """All figures of one model on the first clips of a manifest; half of them fit the linear probe, the other half score it.

    Returns:
        t2v_r1, text_prefers_v, margin_degraded, ...: `training.alignment.measure` at the tapped block.
        presence_b<l>: area under the curve of a linear probe for "an event is seen in this temporal patch" after block l (0: the video's embeddings).
        attention_b<l>: attention from the question on the pop's patch, over what it would be if all patches had the same; 1 = no preference.
    """
    backbone = Backbone.load(str(model), dtype="float32").eval()
    store = ClipStore([manifest], backbone.adapter.fit)
    pairs = [(sample, store.clip(sample)) for sample in store.samples[:num_clips]]
    found = measure(backbone, pairs, tap_block)
    seen = inside(model, pairs)
    half = len(seen) // 2
    for block in range(len(seen[0].states)):
        found[f"presence_b{block}"] = presence_auc([clip.states[block] for clip in seen], [clip.has_event for clip in seen], half)
    for block in range(len(seen[0].attention)):
        found[f"attention_b{block + 1}"] = attention_lift([clip.attention[block] for clip in seen], [clip.has_pop for clip in seen])
    return {name: round(float(value), 4) for name, value in found.items()}


@torch.no_grad()
def inside(model: Path, pairs: Sequence[tuple[Sample, Clip]]) -> list[Inside]:
    """One clip at a time through transformers itself, asked `QUESTION`."""
    processor = AutoProcessor.from_pretrained(model)
    network = AutoModelForImageTextToText.from_pretrained(model, attn_implementation="eager", dtype=torch.float32).eval()
    pad = network.config.video_token_id
    found = []
    for sample, clip in pairs:
        text = next(question.text for question in sample.questions if question.family == QUESTION)
        content = [{"type": "video"}, {"type": "text", "text": text}]
        prompt = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
        metadata = VideoMetadata(total_num_frames=len(clip), fps=_fps(clip), frames_indices=list(range(len(clip))))
        inputs = processor(text=[prompt], videos=[clip.frames], video_metadata=[metadata], do_sample_frames=False, return_tensors="pt")
        output = network(**inputs, output_hidden_states=True, output_attentions=True)
        video = (inputs["input_ids"][0] == pad).nonzero()[:, 0]
        patches = len(clip) // PATCH_FRAMES
        states = np.stack([h[0, video].view(patches, -1, h.shape[-1]).mean(dim=1).numpy() for h in output.hidden_states])
        mass = np.stack([a[0, :, -1, video].mean(dim=0).view(patches, -1).sum(dim=1).numpy() for a in output.attentions])
        found.append(Inside(states, mass, _patches(sample, ""), _patches(sample, "pop")))
    return found


def _fps(clip: Clip) -> float:
    return float(1 / np.diff(clip.t_s).mean())


def _patches(sample: Sample, label: str) -> np.ndarray:
    """(patches,) whether an event whose label ends so is seen in each temporal patch."""
    frames = np.array([any(span.start_s <= t <= span.end_s and span.label.endswith(label) for span in sample.spans) for t in sample.t_s])
    return np.asarray(frames[: len(frames) // PATCH_FRAMES * PATCH_FRAMES].reshape(-1, PATCH_FRAMES).any(axis=1))


def presence_auc(states: Sequence[np.ndarray], has_event: Sequence[np.ndarray], num_fit: int) -> float:
    """Area under the curve of a ridge regression on standardised states: fitted on the first clips, scored on the others.

    Args:
        states: (patches, D) a clip.
        has_event: (patches,) a clip.
        num_fit: clips to fit on.

    Returns:
        .5 = chance; NaN where the other clips have one class only.
    """
    x_fit, x_new = np.concatenate(states[:num_fit]).astype(np.float64), np.concatenate(states[num_fit:]).astype(np.float64)
    y_fit, y_new = np.concatenate(has_event[:num_fit]).astype(np.float64), np.concatenate(has_event[num_fit:])
    mean, spread = x_fit.mean(axis=0), x_fit.std(axis=0) + 1e-9
    x_fit, x_new = (x_fit - mean) / spread, (x_new - mean) / spread
    weights = np.linalg.solve(x_fit.T @ x_fit + RIDGE * np.eye(x_fit.shape[1]), x_fit.T @ (y_fit - y_fit.mean()))
    return auc(x_new @ weights, y_new)


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive scores above a negative, ties counting half."""
    num = int(positive.sum())
    if num in (0, len(positive)):
        return float("nan")
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - num * (num + 1) / 2) / (num * (len(positive) - num)))


def attention_lift(attention: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> float:
    """Mean over clips of the share of the video's attention that goes to the wanted patches, over those patches' share of all."""
    return float(np.mean([mass[at].sum() / mass.sum() / at.mean() for mass, at in zip(attention, wanted, strict=True) if at.any()]))


def run(config: StudyConfig, arms: Sequence[str], seeds: Sequence[int], *, tap_block: int = 2, num_clips: int = 200) -> Path:
    """Probes the models that there are of some arms and seeds; `probes.jsonl` in the study's folder keeps one line each and is added to."""
    path = Path(config.output) / "probes.jsonl"
    kept = read(path) if path.exists() else []
    done = {(line["arm"], line["seed"]) for line in kept}
    for seed in seeds:
        for arm in arms:
            model = model_folder(config, Unit(arm, seed))
            if (arm, seed) not in done and model.exists():
                kept.append({"arm": arm, "seed": seed, **probe(model, worlds.manifest_path(seed_folder(config, seed), TEST), tap_block, num_clips)})
                write_atomic(path, "".join(json.dumps(line) + "\n" for line in kept))
    return path


def read(path: Path) -> list[dict]:
    """The lines of a file of probes."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
