"""A whole stage-2 step (rollouts on V and V', rewards, update) is at least 5x faster than the same step of TRL's GRPOTrainer.

TRL 1.16 trains on images, not on video; the subclass below feeds the same video by a side channel, one row a completion, as TRL does. Both sides have the
same weights, decode greedily, so that all completions are equal (asserted), get the same scripted Q, and take the same step (gradient norms asserted equal).
One thread; processor seconds; the two take turns.

TRL is no dependency of this package. Run this in an environment that has both:

    python -m venv trl-env && trl-env/bin/pip install -c constraints.txt . trl==1.16.0 && trl-env/bin/python benchmarks/grpo_vs_trl.py --quick
"""

# ruff: noqa: ANN001 (arguments are those of TRL's methods)

import logging
import statistics
import sys
import tempfile
import time
import warnings

import torch
from grpo_common import GROUP, QUESTION, Store, trainer
from tree_common import Pair, arguments, pair, report

try:
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOConfig as TrlConfig
    from trl import GRPOTrainer
except ImportError as error:
    sys.exit(
        f"grpo_vs_trl needs TRL 1.16, which is not installed here ({error}). It is no dependency of this package; how to run it:{__doc__.split('both:')[1]}"
    )

GOAL, NEW_TOKENS = 5.0, 16
ALPHA, DECAY, LR = 1.0, 0.9, 1e-6


class ScriptedQ:
    """The same table of right and wrong answers for both sides: right with .6 on V and .4 on V'."""

    def __init__(self, clips: int):
        drawn = torch.rand(2, clips, GROUP, generator=torch.Generator().manual_seed(0))
        self.table = (drawn < torch.tensor([0.6, 0.4])[:, None, None]).float()

    def __call__(self, texts, questions) -> torch.Tensor:
        """(2 N,) Q of completions on V, then on V', clip by clip as their questions say."""
        clips = [int(q.id.removeprefix("clip")) for q in questions[:: len(questions) // 2 // len(self.table[0]) or 1]]
        half = len(clips) // 2
        return torch.cat([self.table[0, clips[:half]], self.table[1, clips[half:]]]).flatten()


class VideoGRPOTrainer(GRPOTrainer):
    """Comparative GRPO on video in TRL: one row a completion, each with its own pixels."""

    def prepare(self, models: Pair, store: Store, q: ScriptedQ) -> None:
        """What the constructor has no argument for."""
        self.models, self.store, self.q, self.b, self.drawn = models, store, q, None, []

    def _rows(self, sources, degraded: bool) -> dict:
        shown = [self.store.made[s.id] if not degraded else self._twin(s) for s in sources]
        rows = self.models.rows(shown, [(QUESTION, "")])
        rows.pop("labels")
        return rows

    def _twin(self, sample):
        clip = self.store.made[sample.id]
        return type(clip)(clip.frames[list(sample.degradation.source_idx)], clip.t_s, clip.source)

    @torch.no_grad()
    def _roll(self, rows: dict) -> torch.Tensor:
        media = self.models.backbone.adapter.media_ids
        out = self.model.generate(**rows, max_new_tokens=NEW_TOKENS, do_sample=False, suppress_tokens=media)
        return out[:, rows["input_ids"].shape[1] :]

    def _generate_and_score_completions(self, inputs):
        sources = [self.store.samples[x["clip"]] for x in inputs]
        full, degraded = self._rows(sources, False), self._rows(sources, True)
        ids, twin_ids = self._roll(full), self._roll(degraded)
        self.drawn, self.side = [ids, twin_ids], full
        self.processing_class.tokenizer.batch_decode(torch.cat([ids, twin_ids]), skip_special_tokens=True)
        q = self.q.table.flatten(1)
        reward = q[0] - q[1]
        b = reward.mean().item() if self.b is None else self.b
        self.b = reward.mean().item() if self.b is None else DECAY * self.b + (1 - DECAY) * reward.mean().item()
        mask = torch.ones_like(ids)
        return {
            "prompt_ids": full["input_ids"],
            "prompt_mask": full["attention_mask"],
            "completion_ids": ids,
            "completion_mask": mask,
            "advantages": ALPHA * (reward - b),
            "row": torch.arange(len(ids)),
            "num_items_in_batch": mask.sum(),
        }

    def _compute_loss(self, model, inputs):
        self.order = inputs["row"]
        return super()._compute_loss(model, inputs)

    def _get_per_token_logps_and_entropies(self, model, input_ids, attention_mask, logits_to_keep, batch_size=None, compute_entropy=False, **_):
        grid = self.side["video_grid_thw"]
        patches = self.side["pixel_values_videos"].view(len(grid), -1, self.side["pixel_values_videos"].shape[-1])
        types = torch.cat([self.side["mm_token_type_ids"], torch.zeros(len(input_ids), logits_to_keep, dtype=torch.long)], dim=1)
        logits = model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values_videos=patches[self.order].flatten(0, 1),
            video_grid_thw=grid[self.order],
            second_per_grid_ts=self.side["second_per_grid_ts"],
            mm_token_type_ids=types[self.order],
            logits_to_keep=logits_to_keep + 1,
        ).logits[:, :-1]
        all_logps = logits.log_softmax(-1)
        logps = all_logps.gather(2, input_ids[:, -logits_to_keep:, None])[..., 0]
        with torch.no_grad():
            entropies = -(all_logps.exp() * all_logps).sum(-1)
        return logps, entropies, None


def main() -> None:
    """Measure and report."""
    quick = arguments(__doc__.splitlines()[0]).quick
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    store, repeats = Store(2 if quick else 4), 3 if quick else 5
    models = pair()
    q = ScriptedQ(store.count)
    fields = [f"sampling.num_generations={GROUP}", f"sampling.max_new_tokens={NEW_TOKENS}", "sampling.temperature=0", "sampling.max_refeed=0", f"optim.lr={LR}"]
    ours = trainer(models, store, *fields, f"reward.alpha={ALPHA}", f"reward.baseline_decay={DECAY}", quality=q)
    with tempfile.TemporaryDirectory() as folder:
        config = TrlConfig(
            output_dir=folder,
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=store.count * GROUP,
            num_generations=GROUP,
            max_completion_length=NEW_TOKENS,
            max_steps=repeats + 1,
            learning_rate=LR,
            lr_scheduler_type="constant",
            beta=0.0,
            loss_type="grpo",
            gradient_checkpointing=False,
            shuffle_dataset=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        rows = Dataset.from_list([{"prompt": QUESTION, "clip": i} for i in range(store.count)])
        theirs = VideoGRPOTrainer(models.plain, [lambda completions, **_: [0.0] * len(completions)], config, rows, processing_class=models.processor)
        theirs.prepare(models, store, q)
        seconds, steps = measure(ours, theirs, repeats)
    mine, trl = (statistics.median(taken) for taken in seconds)
    detail = {
        "ours_ms": round(1e3 * mine),
        "trl_ms": round(1e3 * trl),
        "clips": store.count,
        "num_generations": GROUP,
        "completion_tokens": NEW_TOKENS,
        "video_tokens": int((theirs.side["mm_token_type_ids"][0] == 2).sum()),
        "parameters": models.parameters,
        "equal_steps": steps,
    }
    report("grpo_vs_trl", trl / mine, GOAL, detail)


def measure(ours, theirs: VideoGRPOTrainer, repeats: int) -> tuple[tuple[list[float], list[float]], int]:
    """Processor seconds of each step, after one unmeasured; and how many steps were found equal."""
    taken: tuple[list[float], list[float]] = ([], [])
    checked = []

    class Turns(TrainerCallback):
        def on_step_begin(self, args, state, control, **_):
            self.began = time.process_time()

        def on_step_end(self, args, state, control, **_):
            done = time.process_time()
            metrics, groups = ours.step(state.global_step - 1)
            end = time.process_time()
            if state.global_step > 1:
                taken[0].append(end - done), taken[1].append(done - self.began)
            drawn = sorted(groups, key=lambda g: int(g.sample.id.removeprefix("clip")))
            for ids, completions in zip(theirs.drawn, ([c for g in drawn for c in g.completions], [c for g in drawn for c in g.degraded]), strict=True):
                assert ids.tolist() == [c.token_ids.tolist() for c in completions], "the two sides drew other completions"
            checked.append(metrics)

        def on_log(self, args, state, control, logs=None, **_):
            if logs and "grad_norm" in logs:
                assert abs(logs["grad_norm"] - checked[-1]["grad_norm"]) < 1e-3 * checked[-1]["grad_norm"] + 1e-5, (logs["grad_norm"], checked[-1]["grad_norm"])

    theirs.add_callback(Turns())
    theirs.remove_callback(PrinterCallback)
    theirs.train()
    return taken, len(checked)


if __name__ == "__main__":
    main()
