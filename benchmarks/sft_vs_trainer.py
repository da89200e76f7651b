"""Plain fine-tuning of the same clips by us and by transformers' Trainer: one tree a clip against one row a question, 6 questions and a caption a clip.

Both train all weights of the same tiny model from decoded frames on: the Trainer's collator calls the processor on each row, we grow the trees; then forward,
backward, clipping, fused AdamW. The first loss of both is equal. The detail has the Trainer's steps on rows prepared beforehand too.
"""

import tempfile
import warnings
from collections.abc import Sequence

import numpy as np
import torch
from transformers import Trainer, TrainingArguments
from transformers.video_utils import VideoMetadata
from tree_common import Pair, adamw, arguments, clips, medians, pair, report

from videoperceiver.data.collate import sft_tree
from videoperceiver.stages import ContrastiveConfig, SftConfig
from videoperceiver.training.sft import sft_layout
from videoperceiver.training.sft_loss import sft_loss
from videoperceiver.types import Clip, Question, Sample

GOAL, FPS = 3.0, 4.0
ANSWERS = ("red", "green", "blue", "one", "two", "three")
CAPTION_PROMPT, CAPTION = "what is the flash ?", "red flash one ; green flash two times"
ASKED = tuple(Question(word, f"what colour is the flash {word} ?", word, "word", "flash") for word in ANSWERS)
TEXTS = [*((question.text, question.answer) for question in ASKED), (CAPTION_PROMPT, CAPTION)]
Row = tuple[Clip, str, str]


class Rows:
    """The Trainer's side: a row for each clip and question.

    Args:
        models: the model, and the processor that makes batches.
        videos: clips.
        steps: of a call of `train`.
    """

    def __init__(self, models: Pair, videos: Sequence[Clip], steps: int):
        self.steps, self.models, self.rows = steps, models, [(clip, *text) for clip in videos for text in TEXTS]

    def collate(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """One padded batch, labels on the answer and its end of turn."""
        prompts, metadata = [], []
        for clip, question, answer in rows:
            content = [{"type": "video"}, {"type": "text", "text": question}]
            prompt = self.models.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
            prompts.append(f"{prompt}{answer}<|im_end|>")
            metadata.append(VideoMetadata(total_num_frames=len(clip), fps=FPS, frames_indices=list(range(len(clip)))))
        videos = [clip.frames for clip, *_ in rows]
        inputs = self.models.processor(text=prompts, videos=videos, video_metadata=metadata, do_sample_frames=False, padding=True, return_tensors="pt")
        labels = torch.full_like(inputs["input_ids"], -100)
        for i, (_, _, answer) in enumerate(rows):
            stop, count = int(inputs["attention_mask"][i].sum()), len(answer.split()) + 1
            labels[i, stop - count : stop] = inputs["input_ids"][i, stop - count : stop]
        return dict(inputs) | {"labels": labels}

    def train(self, folder: str, *, prepared: dict[str, torch.Tensor] | None = None) -> None:
        """Steps of the whole batch by transformers' Trainer."""
        settings = TrainingArguments(
            folder, use_cpu=True, max_steps=self.steps, per_device_train_batch_size=len(self.rows), learning_rate=1e-4, lr_scheduler_type="constant",
            weight_decay=0.0, max_grad_norm=1.0, optim="adamw_torch_fused", logging_strategy="no", save_strategy="no", report_to="none",
            remove_unused_columns=False, disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        collate = self.collate if prepared is None else lambda rows: dict(prepared)
        Trainer(self.models.plain, settings, train_dataset=self.rows, data_collator=collate).train()


class Trees:
    """Our side: a tree for each clip."""

    def __init__(self, models: Pair, videos: Sequence[Clip], steps: int):
        self.steps, self.models, self.videos = steps, models, videos
        self.samples = [Sample(clip.source, "noise.mp4", "", "train", "noise", tuple(clip.t_s.tolist()), CAPTION, ASKED) for clip in videos]
        settings = ContrastiveConfig(weight=0.0, tap_blocks=[2])
        self.config = SftConfig(contrastive=settings, train=["noise"], output="none", instruction_share=0.0, caption_prompt=CAPTION_PROMPT)
        self.optimizer = adamw(models.backbone)

    def loss(self) -> torch.Tensor:
        """Of the whole batch."""
        backbone, rng, layout = self.models.backbone, np.random.default_rng(0), sft_layout(self.config)
        grown = [sft_tree(backbone, sample, clip, layout, rng) for sample, clip in zip(self.samples, self.videos, strict=True)]
        return sft_loss(grown, backbone([g.tree for g in grown]), self.config)[0]

    def train(self) -> None:
        """As many of ours."""
        for _ in range(self.steps):
            self.loss().backward()
            torch.nn.utils.clip_grad_norm_(self.models.backbone.parameters(), 1.0, foreach=True)
            self.optimizer.step()
            self.optimizer.zero_grad()


def main() -> None:
    """Measure and report."""
    quick = arguments(__doc__).quick
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    models, videos = pair(hidden_size=128), clips(4 if quick else 8)
    steps = 2 if quick else 6
    rows, trees = Rows(models, videos, steps), Trees(models, videos, steps)
    prepared = rows.collate(rows.rows)
    with torch.no_grad():
        losses = trees.loss().item(), models.plain(**prepared).loss.item()
    assert abs(losses[0] - losses[1]) < 1e-4, losses
    with tempfile.TemporaryDirectory() as folder:
        tree_s, trainer_s, model_s = medians(trees.train, lambda: rows.train(folder), lambda: rows.train(folder, prepared=prepared))
    detail = {
        "tree_step_ms": round(1e3 * tree_s / steps),
        "trainer_step_ms": round(1e3 * trainer_s / steps),
        "trainer_step_prepared_ms": round(1e3 * model_s / steps),
        "ratio_prepared": round(model_s / tree_s, 3),
        "clips": len(videos),
        "rows": len(rows.rows),
        "steps": steps,
        "row_tokens": prepared["input_ids"].shape[1],
        "loss": [round(loss, 5) for loss in losses],
        "parameters": models.parameters,
        "torch": torch.__version__,
    }
    report("sft_vs_trainer", trainer_s / tree_s, GOAL, detail)


if __name__ == "__main__":
    main()
