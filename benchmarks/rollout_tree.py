"""Rollouts, G = 8 completions of 3 tokens for each of 3 questions: one prefill a video, against one prefill a completion (both cache)."""

import torch
from transformers import DynamicCache
from tree_common import Pair, arguments, clips, medians, pair, report

from videoperceiver.models import TreeBuilder, generate
from videoperceiver.types import Clip

QUESTIONS = ["what colour flash ?", "how many times ?", "flash green ; red"]
NUM_GENERATIONS, NEW_TOKENS, GOAL = 8, 3, 7.0


@torch.no_grad()
def one_prefill_a_completion(model: torch.nn.Module, rows: dict, generator: torch.Generator, media: list[int]) -> torch.Tensor:
    """The plain way by hand: as little overhead as transformers' forward allows (rows of one question have equal lengths)."""
    cache = DynamicCache(config=model.config)
    out = model(**rows, past_key_values=cache, use_cache=True, logits_to_keep=1)
    position = rows["input_ids"].shape[1] + model.model.rope_deltas  # (N, 1)
    drawn = []
    for step in range(NEW_TOKENS):
        logits = out.logits[:, -1].index_fill(1, torch.tensor(media), float("-inf"))
        drawn.append(torch.multinomial(logits.softmax(-1), 1, generator=generator))
        if step + 1 < NEW_TOKENS:
            out = model(input_ids=drawn[-1], position_ids=(position + step).expand(3, -1, -1), past_key_values=cache, use_cache=True)
    return torch.cat(drawn, 1)


def measure(models: Pair, videos: list[Clip], questions: list[str]) -> dict:
    """Milliseconds of each way, and sizes."""
    rows = models.rows([clip for clip in videos for _ in range(NUM_GENERATIONS)], [(question, "") for question in questions])
    rows = {key: value for key, value in rows.items() if key != "labels"}
    media = models.backbone.adapter.media_ids

    def ours() -> None:
        trees, leaves = [], []
        for clip in videos:  # built anew, so that no features are remembered
            builder = TreeBuilder(models.backbone, clip)
            video = builder.video()
            leaves.append([builder.question(video, question) for question in questions])
            trees.append(builder.tree())
        generate(models.backbone, trees, leaves, num_generations=NUM_GENERATIONS, max_new_tokens=NEW_TOKENS, seed=0)

    generator = torch.Generator().manual_seed(0)
    plain = {"suppress_tokens": media, "max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "do_sample": True, "top_k": 0}
    tree_s, row_s, transformers_s = medians(
        ours,
        lambda: one_prefill_a_completion(models.plain, rows, generator, media),
        lambda: models.plain.generate(**rows, **plain),
    )
    return {
        "ratio": round(row_s / tree_s, 2),
        "tree_ms": round(1e3 * tree_s),
        "rows_ms": round(1e3 * row_s),
        "transformers_generate_ms": round(1e3 * transformers_s),
        "questions_a_clip": len(questions),
        "prompt_tokens": rows["input_ids"].shape[1],
        "video_tokens": 8 * models.backbone.adapter.tokens_per_patch(*videos[0].frames.shape[1:3]),
    }


def main() -> None:
    """Measure and report."""
    count = 2 if arguments(__doc__).quick else 4
    models = pair(freeze_vision=True)
    models.plain.eval()
    three = measure(models, clips(count), QUESTIONS)
    one = measure(models, clips(count, side_px=64), QUESTIONS[:1])
    detail = {"clips": count, "num_generations": NUM_GENERATIONS, "new_tokens": NEW_TOKENS, "parameters": models.parameters}
    report("rollout_tree", three["ratio"], GOAL, detail | three | {"one_question_more_video": one})


if __name__ == "__main__":
    main()
