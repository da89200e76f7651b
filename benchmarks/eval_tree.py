"""Evaluation of 10 questions on one video: a Tree after one pass over it, at least 3 times as fast as ten separate `generate` calls of transformers.

Both read the same frames with the same weights, answer greedily and say the same; each of the ten calls spells its prompt and encodes the video, as the
usual harness does. Frames are decoded once, before either.
"""

import numpy as np
import torch
from tree_common import Pair, arguments, clips, medians, pair, report

from videoperceiver.evaluation.engines import Ask, TreeEngine
from videoperceiver.evaluation.protocol import Protocol
from videoperceiver.types import Clip

QUESTIONS = [f"what colour is the {word} ?" for word in ("flash", "red", "green", "blue", "one", "two", "three", "times", "many", "how")]
NEW_TOKENS, GOAL = 4, 3.0
PROTOCOL = Protocol({}, 16, None, NEW_TOKENS, "benchmark")


def engine_of(models: Pair) -> TreeEngine:
    """The stage's own engine around a backbone that is loaded already."""
    engine = TreeEngine.__new__(TreeEngine)
    engine.backbone, engine.name, engine._max_tokens = models.backbone, "tiny", 16384
    return engine


@torch.no_grad()
def ten_calls(models: Pair, clip: Clip) -> list[str]:
    """One `generate` a question."""
    said = []
    for question in QUESTIONS:
        inputs = {key: value for key, value in models.rows([clip], [(question, "")]).items() if key != "labels"}
        out = models.plain.generate(**inputs, max_new_tokens=NEW_TOKENS, do_sample=False, suppress_tokens=models.backbone.adapter.media_ids)
        said.append(models.processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))
    return said


def main() -> None:
    """Measure and report."""
    quick = arguments(__doc__).quick
    models = pair(freeze_vision=True)
    models.plain.eval()
    engine = engine_of(models)
    [clip] = clips(1, frames=16, side_px=64)
    ask = Ask("s", "full", clip, tuple(map(str, range(10))), tuple(QUESTIONS), (0,) * 10)

    def tree() -> list[str]:
        [said] = engine.answer([ask], PROTOCOL)
        return [texts[0] for texts in said]

    equal = tree() == ten_calls(models, clip)
    tree_s, calls_s = medians(tree, lambda: ten_calls(models, clip), repeats=5 if quick else 9, warm=True)
    detail = {
        "tree_ms": round(1e3 * tree_s),
        "ten_calls_ms": round(1e3 * calls_s),
        "answers_equal": equal,
        "questions": len(QUESTIONS),
        "new_tokens": NEW_TOKENS,
        "video_tokens": 8 * models.backbone.adapter.tokens_per_patch(*np.shape(clip.frames)[1:3]),
        "parameters": models.parameters,
    }
    report("eval_tree", calls_s / tree_s if equal else 0.0, GOAL, detail)


if __name__ == "__main__":
    main()
