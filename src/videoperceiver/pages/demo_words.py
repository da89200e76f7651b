"""What the demo did, told in plain words with a run's own numbers."""

from collections.abc import Sequence

from videoperceiver.pages import words

FOUND = (
    "Keywords from question and answer give every frame a relevance; its peaks, or the annotated event where there is one, are the key frames. "
    "V′ is the same clip with those frames replaced by a neighbour."
)
CONTRASTIVE = (
    "The answers were trained while a contrastive loss at a middle block pulled each clip and its keywords together and pushed V′ away, "
    "and two further terms taught that V′ does not tell the answer ({steps} steps). "
    "Plain fine-tuning, the control, saw the same clips for as many steps without all three."
)
COMPARATIVE = (
    "{answers} answers to each question were sampled on V and on V′, and the policy was rewarded for being right on V by more than on V′ ({steps} steps)."
)


def demo_steps(
    *,
    num_train: int,
    num_validation: int,
    num_test: int,
    num_real: int,
    num_frames: int,
    event_frames: Sequence[int],
    cue_reliability: float,
    num_parameters: int,
    backbone_steps: int,
    sft_steps: int,
    grpo_steps: int,
    num_generations: int,
) -> tuple[tuple[str, str], ...]:
    """(title, text) of each step; a `DemoReport.steps`.

    Args:
        num_train: rendered clips that stages 1 and 2 train on.
        num_validation: rendered clips on which settings were chosen; 0 where this run chose none.
        num_test: rendered clips behind the headline.
        num_real: real clips, shown but not trained on.
        num_frames: frames of a rendered clip.
        event_frames: shortest and longest event, in frames.
        cue_reliability: how often the static cue is right in training, 0 to 1.
        num_parameters: of the model.
        backbone_steps: optimiser steps of the warm-up.
        sft_steps: of stage 1, and of plain fine-tuning, which takes as many.
        grpo_steps: of stage 2.
        num_generations: completions a group.
    """
    made = _made(num_train, num_validation, num_test, num_real, num_frames, event_frames, cue_reliability)
    warmed = (
        f"A Qwen2.5-VL of {num_parameters / 1e6:.1f} million parameters, built here, learned to answer on clips with plainer events "
        f"and cues that say nothing ({backbone_steps:,} steps)."
    )
    tested = "The numbers above are from the test clips alone." + (" Settings were chosen on the validation clips." if num_validation else "")
    return (
        ("Clips were made.", made),
        ("The key frames were found and taken away.", FOUND),
        ("A stand-in for a pretrained backbone was warmed up.", warmed),
        ("Stage 1: contrastive fine-tuning.", CONTRASTIVE.format(steps=f"{sft_steps:,}")),
        ("Stage 2: comparative GRPO.", COMPARATIVE.format(answers=num_generations, steps=f"{grpo_steps:,}")),
        ("Everything was tested on clips never seen.", tested),
    )


def _made(num_train: int, num_validation: int, num_test: int, num_real: int, num_frames: int, event_frames: Sequence[int], cue_reliability: float) -> str:
    longest = max(event_frames)
    lengths = words.plural(longest, "frame") if min(event_frames) == longest else f"{min(event_frames)} to {longest} frames"
    drawn = f"{num_train:,} training, {num_validation:,} validation and {num_test:,}" if num_validation else f"{num_train:,} training and {num_test:,}"
    return (
        f"{drawn} test clips of {num_frames} frames were drawn and written as H.264 files: "
        f"moving objects and brief events of {lengths}. In training a static cue predicts each answer {words.percent(cue_reliability)} of the time. "
        f"{words.plural(num_real, 'real clip')} went through the same analysis."
    )
