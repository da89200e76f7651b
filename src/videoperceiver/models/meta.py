"""A model of true size without weights: the very code of training runs on it, on the meta device, where tensors have shapes and no numbers."""

import difflib
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AutoConfig, AutoProcessor, PretrainedConfig

from videoperceiver.errors import ConfigError
from videoperceiver.models import attention, forward
from videoperceiver.models.adapters import Features, VideoTokens
from videoperceiver.models.adapters.base import normalise
from videoperceiver.models.adapters.qwen_vision import cut
from videoperceiver.models.attention import AttentionKind, TreeAttention
from videoperceiver.models.backbone import QUESTION, Backbone
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.live import LOGITS, Counted, LiveMemory
from videoperceiver.models.lora import Lora
from videoperceiver.models.published import PUBLISHED, config_of, on_meta
from videoperceiver.models.tree import Tree

VISION = "videoperceiver_flash_counted"
"""Attention of the vision tower on meta; transformers hands window bounds over only to names that contain "flash"."""
FAMILIES = ("qwen2_5_vl", "qwen3_vl")
HEADER_WORDS, TRAILER_WORDS, TIMESTAMP_TOKENS = 14, 5, 8
"""Tokens of the chat template before the video, and between question and answer; of `<1.3 seconds>` and its marks before a patch (Qwen3-VL)."""


def has_processor(where: str) -> bool:
    """Whether a folder holds a processor, so that texts and videos can be spelled exactly."""
    return any((Path(where) / name).is_file() for name in ("processor_config.json", "preprocessor_config.json"))


def known_config(where: str) -> PretrainedConfig:
    """The configuration of a published checkpoint, of a folder with config.json, or of a checkpoint in the local hub cache; no network.

    Raises:
        ConfigError: none of these; says which are known.
    """
    if where in PUBLISHED:
        return config_of(where)
    try:
        config = AutoConfig.from_pretrained(where, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        near = difflib.get_close_matches(where, PUBLISHED, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"model.path: the sizes of {where!r} are not known here{hint} Known without a network: {', '.join(PUBLISHED)}; "
            "or give a folder with a config.json (no weights needed)"
        ) from error
    if config.model_type not in FAMILIES:
        raise ConfigError(f"model.path: {where} is of type {config.model_type!r}; plan knows {', '.join(FAMILIES)}")
    return config


class MetaBackbone(Backbone):
    """A backbone whose forward has the shapes, the saved tensors and the early exits of the real one, and no numbers.

    Attributes:
        live: where the logits are counted apart, while it measures.
        shared_heads: key and value heads are repeated for their group of query heads, as the CPU's kernels need.
        spelled: whether texts are tokenized by the checkpoint's own tokenizer; otherwise by number of words.
    """

    live: LiveMemory | None = None
    shared_heads = False

    def __init__(self, where: str, config: PretrainedConfig, processor: Any, *, attention: AttentionKind = "auto"):
        model = on_meta(config).float()
        super().__init__(model, processor, attention="dense" if attention == "dense" else "auto")
        self.spelled, self.where = not isinstance(processor, _Words), where
        model.config.vision_config._attn_implementation = VISION
        model.generation_config = SimpleNamespace(eos_token_id=None)  # type: ignore[assignment]

    @classmethod
    def of(
        cls,
        where: str,
        *,
        trained_dtype: torch.dtype = torch.float32,
        frozen_dtype: torch.dtype = torch.bfloat16,
        lora: Lora | None = None,
        freeze_vision: bool = True,
        gradient_checkpointing: bool = False,
        attention: AttentionKind = "auto",
        tokens_a_word: float | None = None,
    ) -> "MetaBackbone":
        """By hub id or folder, prepared as `Backbone.load` would.

        Args:
            where: see `known_config`.
            trained_dtype: of the weights that are trained, as the forward sees them.
            frozen_dtype: of the others.
            lora: as for `Backbone.load`.
            freeze_vision: the same.
            gradient_checkpointing: the same.
            attention: the same.
            tokens_a_word: texts count by words, times this; None = by the processor in the folder.

        Raises:
            ConfigError: a model whose sizes are not known here.
        """
        config = known_config(where)
        processor = AutoProcessor.from_pretrained(where, trust_remote_code=False) if tokens_a_word is None else _Words(config, tokens_a_word)
        backbone = cls(where, config, processor, attention=attention)
        with torch.device("meta"):
            backbone._prepare(lora, freeze_vision, gradient_checkpointing)
        for weight in backbone.parameters():
            weight.data = weight.data.to(trained_dtype if weight.requires_grad else frozen_dtype)
        return backbone.train()

    def _run(self, trees: Sequence[Tree], tap_blocks: Sequence[int], features: Features | None) -> TreeOutput:
        """As `Backbone._run`, up to the check that the numbers are finite."""
        layout, hidden, placed, kind = self.start(trees, features)

        def record(tree: TreeAttention) -> TreeAttention:
            return _Counted(tree, self.shared_heads or kind == "dense")

        hidden, taps = forward.run_blocks(self.adapter, layout, hidden, placed, kind, tap_blocks, record)
        with nullcontext() if self.live is None else self.live.counting(LOGITS):
            logps, entropy, distributions = forward.score_unchecked(self.adapter, layout, hidden, trees)
        return TreeOutput(logps, entropy, torch.from_numpy(layout.target_node), taps, torch.from_numpy(layout.slots[layout.taps]), distributions)

    def features(self, trees: Sequence[Tree]) -> Features | None:
        """The tower over every distinct patch, one call for each frame size, with gradients where it is trained."""
        counts: dict[tuple[int, ...], int] = {}
        for tree in trees:
            counts[tree.frames.shape[1:]] = counts.get(tree.frames.shape[1:], 0) + len(tree.patches)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen_vision):
            parts = [self._tower(shape, count) for shape, count in counts.items() if count]
        if not parts:
            return None
        return Features(torch.cat([p.tokens for p in parts]), tuple(torch.cat(extra) for extra in zip(*(p.deepstack for p in parts), strict=True)))

    def _tower(self, shape: tuple[int, ...], patches: int) -> Features:
        """Features (patches x tokens, D)."""
        video, visual, adapter = self.processor.video_processor, self.adapter.model.model.visual, self.adapter
        frames = torch.empty((patches, adapter.frames_per_patch, *shape), dtype=torch.uint8, device="meta")
        pixels = cut(normalise(frames, video, visual.dtype), video.patch_size, video.merge_size)
        rows, columns = shape[0] // video.patch_size, shape[1] // video.patch_size
        places = {"position_ids": torch.empty(len(pixels), 2, dtype=torch.long, device="meta")}
        if self.adapter.model.config.model_type == "qwen3_vl":
            places |= {
                "interp_indices": torch.empty(len(pixels), 4, dtype=torch.long, device="meta"),
                "interp_weights": torch.empty(len(pixels), 4, device="meta"),
            }
        out = visual(pixels, grid_thw=torch.tensor([[patches, rows, columns]]), **places)
        return Features(out.pooler_output, tuple(getattr(out, "deepstack_features", None) or ()))

    # sizes of texts and videos, where there is no tokenizer

    def encode_text(self, text: str) -> np.ndarray:
        """Ids (L,): the tokenizer's, or so many for each word."""
        if self.spelled:
            return super().encode_text(text)
        words, marks = text.replace("<|", " ").split(), text.count("<|")  # a mark is one token
        return np.ones(max(1, round((len(words) - marks) * self.processor.tokens_a_word) + marks), np.int64)

    def spell_video(self, t_s: np.ndarray, height_px: int, width_px: int) -> VideoTokens:
        """As the processor would, or header, patches and their marks by number."""
        if self.spelled:
            return super().spell_video(t_s, height_px, width_px)
        mark = TIMESTAMP_TOKENS if self.adapter.model.config.model_type == "qwen3_vl" else 0
        per = self.adapter.tokens_per_patch(height_px, width_px)
        shown = np.concatenate([np.repeat(-1, HEADER_WORDS + 1), *(np.repeat([-1, i], [mark, per]) for i in range(len(t_s))), [-1]])
        ids = np.where(shown >= 0, self.adapter.video_token_id, 1)
        return VideoTokens(ids, np.broadcast_to(np.arange(len(ids)), (3, len(ids))), shown)


class HalfPrecision:
    """What `torch.autocast(.., torch.bfloat16)` does to linear layers, which it knows on real devices only.

    A weight is cast once and the copy kept until the forward is over; blocks that are run again in the backward pass cast again.
    """

    def __init__(self, module: nn.Module):
        self.layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
        self.cast: dict[int, Tensor] = {}
        self.keep = True

    def __enter__(self) -> "HalfPrecision":
        for layer in self.layers:
            layer.forward = partial(self._linear, layer)  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        for layer in self.layers:
            del layer.forward
        self.cast.clear()

    def forward_done(self) -> None:
        """Leaving autocast: what autograd does not hold is let go."""
        self.cast.clear()
        self.keep = False

    def _linear(self, layer: nn.Linear, x: Tensor) -> Tensor:
        bias = None if layer.bias is None else layer.bias.to(torch.bfloat16)
        return F.linear(x.to(torch.bfloat16), self._weight(layer.weight), bias)

    def _weight(self, weight: Tensor) -> Tensor:
        made = self.cast.get(id(weight))
        if made is None:
            made = weight.to(torch.bfloat16)
            if self.keep:
                self.cast[id(weight)] = made
        return made


class _Counted:
    def __init__(self, tree: TreeAttention, shared_heads: bool):
        self.tree, self.shared_heads = tree, shared_heads  # the tree's own mask, if it has one, stays alive

    def attend(self, block: int, query: Tensor, key: Tensor, value: Tensor, scaling: float, dropout: float) -> Tensor:
        """See `TreeAttention`."""
        query, key = query.to(value.dtype), key.to(value.dtype)  # one type, as the kernels need
        if self.shared_heads:
            key, value = attention.share_heads(query, key, value)
        return Counted.apply(query, key, value).transpose(1, 2)  # type: ignore[no-any-return]


def _counted_windows(module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: None, **_: Any) -> tuple[Tensor, None]:
    """Vision attention: (1, heads, N, d) -> (1, N, heads, d)."""
    return Counted.apply(query, key, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(VISION, _counted_windows)


class _Words:
    """Stands in for a processor: the sizes a model's config tells, and texts by number of words."""

    def __init__(self, config: PretrainedConfig, tokens_a_word: float):
        tower = config.vision_config
        self.tokens_a_word = tokens_a_word
        self.video_token_id = config.video_token_id
        self.tokenizer = SimpleNamespace(eos_token="<|im_end|>")
        self.video_processor = SimpleNamespace(
            patch_size=tower.patch_size,
            temporal_patch_size=tower.temporal_patch_size,
            merge_size=tower.spatial_merge_size,
            do_rescale=True,
            rescale_factor=1 / 255,
            do_normalize=True,
            image_mean=[0.5] * 3,
            image_std=[0.5] * 3,
            size=None,
            resample=None,
            resize=lambda pixels, **_: pixels,
        )

    def apply_chat_template(self, conversation: Any, **_: Any) -> str:
        """The template by number of words; `Backbone` cuts it at the video and at the question."""
        return f"{'w ' * HEADER_WORDS}<|vision_start|><|video_pad|><|vision_end|>{QUESTION}{' w' * TRAILER_WORDS}"
