"""How well a block of the language model tells V from V' and finds a clip by its keywords: figures for held-out clips.

The clips are encoded apart from each other and leave after the tapped block, so the whole slice costs less than one training step of it.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from videoperceiver.data.collate import builder_of
from videoperceiver.losses.contrastive import alignment_metrics, cosine, keyword_ids, same_ids
from videoperceiver.models.backbone import Backbone
from videoperceiver.models.tree import Tree
from videoperceiver.types import Clip, Sample

CLIPS_A_FORWARD = 8
ROLES = ("full", "degraded", "text")


@torch.no_grad()
def alignment(h_v: Tensor, h_degraded: Tensor, h_text: Tensor, has_degraded: Tensor, has_text: Tensor, ids: Tensor | None = None) -> dict[str, float]:
    """The figures, from representations of N clips.

    Args:
        h_v: (N, D) videos.
        h_degraded: (N, D) V'; rows without V' may hold anything finite.
        h_text: (N, D) keywords; rows without keywords may hold anything finite.
        has_degraded: (N,) bool.
        has_text: (N,) bool.
        ids: (N,) keyword ids; a video with the same keywords then counts as found, and not as a rival.

    Returns:
        What `losses.contrastive.alignment_metrics` returns (t2v_r1 depends on N: compare slices of one size only), and
        margin_degraded: mean cos(T, V) - cos(T, V').
        margin_rival: mean cos(T, V) - the largest cos(T, V_j) of another clip.
        clips: N.
        A figure that no row can give is NaN.
    """
    same = None if ids is None else same_ids(ids, ids)
    found = {name: value.item() for name, value in alignment_metrics(h_v, h_degraded, h_text, has_degraded, has_text, same).items()}
    text_v = cosine(h_text, h_v)  # (N, N)
    own = text_v.diagonal()
    rivals = ~torch.eye(len(h_v), dtype=torch.bool, device=h_v.device)
    rivals = rivals if same is None else rivals & ~same
    rival = text_v.masked_fill(~rivals, float("-inf")).max(dim=1).values  # (N,)
    both, contested = has_text & has_degraded, has_text & rivals.any(dim=1)
    return {
        **found,
        "margin_degraded": (own - cosine(h_text, h_degraded).diagonal())[both].mean().item(),
        "margin_rival": (own - rival)[contested].mean().item(),
        "clips": float(len(h_v)),
    }


@torch.no_grad()
def measure(backbone: Backbone, pairs: Sequence[tuple[Sample, Clip]], tap_block: int) -> dict[str, float]:
    """The figures of clips at one block, without dropout and without gradients; see `alignment`.

    Args:
        backbone: its training mode is left as it was.
        pairs: samples and their clips at model size; those without a V' or keywords leave only the figures that need them, those without a video all.
        tap_block: block l, from 1.

    Returns:
        The figures; none where there is no video.

    Raises:
        SampleError: a clip does not fit the model.
    """
    pairs = [(sample, clip) for sample, clip in pairs if sample.media == "video"]
    if not pairs:
        return {}
    training = backbone.training
    backbone.eval()
    try:
        rows = [_taps(backbone, pairs[first : first + CLIPS_A_FORWARD], tap_block) for first in range(0, len(pairs), CLIPS_A_FORWARD)]
    finally:
        backbone.train(training)
    h = {role: torch.cat([row[role] for row in rows]) for role in ROLES}  # (N, D)
    has_degraded = torch.tensor([sample.degradation is not None for sample, _ in pairs], device=h["full"].device)
    ids = keyword_ids([sample.keywords for sample, _ in pairs]).to(h["full"].device)
    has_text = torch.tensor([bool(sample.keywords) for sample, _ in pairs], device=h["full"].device)
    return alignment(h["full"], h["degraded"], h["text"], has_degraded, has_text, ids)


def _taps(backbone: Backbone, pairs: Sequence[tuple[Sample, Clip]], tap_block: int) -> dict[str, Tensor]:
    """(n, D) states of each role; where a clip lacks one, its V stands in and is left out by the caller."""
    trees: list[Tree] = []
    nodes: list[tuple[int, int, int]] = []
    for sample, clip in pairs:
        builder = builder_of(backbone, sample, clip)
        full = builder.video(tap_block, tap=True)
        degraded = builder.degraded(tap_block, tap=True) if sample.degradation is not None else full
        text = builder.text(" ; ".join(sample.keywords), depth=tap_block) if sample.keywords else full
        nodes.append((full, degraded, text))
        trees.append(builder.tree())
    output = backbone(trees, tap_blocks=(tap_block,))
    row = {(t, n): i for i, (t, n) in enumerate(output.tap_index.tolist())}
    index = np.asarray([[row[t, node] for node in chosen] for t, chosen in enumerate(nodes)])  # (n, roles)
    taps = output.taps[tap_block].float()
    return {role: taps[torch.from_numpy(index[:, i]).to(taps.device)] for i, role in enumerate(ROLES)}
