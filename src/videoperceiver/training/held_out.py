"""Periodic evaluation on clips that are not trained on: answers on V and V', and how block l tells them apart."""

from collections.abc import Sequence
from typing import Protocol

from videoperceiver import answers
from videoperceiver.data.clips import ClipStore
from videoperceiver.data.collate import builder_of
from videoperceiver.errors import ConfigError, SampleError
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.generate import generate
from videoperceiver.runs import Run
from videoperceiver.stages import HeldOutConfig, RuntimeConfig
from videoperceiver.training import alignment, runtime
from videoperceiver.training.loader import open_store
from videoperceiver.training.policy import Policy
from videoperceiver.types import Clip, Sample

CLIPS_A_CALL = 8
NAMES = ("full", "degraded", "static")
"""Accuracies: of questions about events on V and on V', of the others on V."""
ALIGNED = ("t2v_r1", "text_prefers_v", "cos_v_degraded", "margin_degraded", "margin_rival")
"""Figures of `alignment.measure` that may choose the best checkpoint."""


class Stage(Protocol):
    """The fields of a stage's config that are read here."""

    @property
    def train(self) -> list[str]: ...
    @property
    def held_out(self) -> HeldOutConfig: ...
    @property
    def runtime(self) -> RuntimeConfig: ...
    @property
    def max_reject_rate(self) -> float: ...


class HeldOut:
    """The slice, read once, and its figures.

    Args:
        config: of the stage; `held_out.every` = 0 reads nothing.
        policy: what is measured.
        run: records clips that cannot be read.
        tap_block: block whose alignment is measured, 0 = none.

    Raises:
        ConfigError: the slice is empty or what is trained on, or `held_out.best_by` names no figure.
    """

    def __init__(self, config: Stage, policy: Policy, run: Run, *, tap_block: int = 0):
        self._config, self._settings, self._policy, self._run, self._tap_block = config, config.held_out, policy, run, tap_block
        self._pairs: list[tuple[Sample, Clip]] | None = None
        self._store: ClipStore | None = None
        there = [*(f"accuracy_{name}" for name in NAMES), *(ALIGNED if tap_block else ())]
        if self._settings.best_by and (not self._settings.every or self._settings.best_by not in there):
            raise ConfigError(f"held_out.best_by is {self._settings.best_by!r}; expected one of {', '.join(there)}, and held_out.every above 0")
        if self._settings.every:
            if self._settings.split == "train" and not self._settings.manifests:
                raise ConfigError("held_out.split is 'train', which is what is trained on; name another split, or other manifests in held_out.manifests")
            self._store = open_store(self._settings.manifests or config.train, policy.backbone, config.runtime, split=self._settings.split)

    def measure(self, step: int) -> dict[str, float]:
        """The figures after `step` updates where they are due, else {}; every rank calls it.

        Returns:
            held_out/accuracy_full, held_out/accuracy_degraded: share of closed questions about events answered right on V and on V' (NaN without any).
            held_out/accuracy_static: the same of questions that V' must not change, on V.
            held_out/...: of the tapped block, see `alignment.measure`.
        """
        if self._store is None or step % self._settings.every:
            return {}
        pairs = self._clips(self._store)
        with self._policy.sampling() as backbone:
            counted = accuracy_counts(backbone, self._policy.world.share(pairs), self._settings.max_new_tokens)
            aligned = alignment.measure(backbone, pairs, self._tap_block) if self._tap_block and pairs else {}
        sums = self._policy.world.sum(counted)
        figures = {f"accuracy_{name}": sums[f"{name}_right"] / sums[name] if sums[name] else float("nan") for name in NAMES}
        return {f"held_out/{name}": value for name, value in (figures | aligned).items()}

    def _clips(self, store: ClipStore) -> list[tuple[Sample, Clip]]:
        if self._pairs is None:
            self._pairs, bad = [], []
            for sample in store.samples[: self._settings.clips or None]:
                try:
                    self._pairs.append((sample, store.clip(sample)))
                except SampleError as error:
                    bad.append(error)
            runtime.reject(bad if self._policy.world.speaks else [], self._run, self._policy.world, self._config.max_reject_rate, seen=len(store.samples))
        return self._pairs


def accuracy_counts(backbone: Backbone, pairs: Sequence[tuple[Sample, Clip]], max_new_tokens: int) -> dict[str, float]:
    """Closed questions asked and those right, greedy: about events on V ("full") and on V' ("degraded"), about the rest on V ("static")."""
    counted = {f"{name}{end}": 0.0 for name in NAMES for end in ("", "_right")}
    for first in range(0, len(pairs), CLIPS_A_CALL):
        trees, leaves, asked = [], [], []
        for sample, clip in pairs[first : first + CLIPS_A_CALL]:
            closed = [q for q in sample.questions if q.kind != "open"]
            if not closed:
                continue
            builder = builder_of(backbone, sample, clip)
            videos = {"full": builder.video()} | ({"degraded": builder.degraded()} if sample.degradation is not None else {})
            wanted = [(name, q) for q in closed for name in videos if name == "full" or not q.static]
            leaves.append([builder.question(videos[name], q.text) for name, q in wanted])
            asked += wanted
            trees.append(builder.tree())
        if not trees:
            continue
        drawn = generate(backbone, trees, leaves, num_generations=1, max_new_tokens=max_new_tokens, temperature=0.0, seed=0)
        for (name, q), [completion] in zip(asked, (leaf for tree in drawn for leaf in tree), strict=True):
            key = "static" if q.static else name
            counted[key] += 1
            counted[f"{key}_right"] += answers.compare(completion.text, q.answer, q.kind, q.options) == 1.0  # what cannot be read is wrong, as in evaluation
    return counted
