"""A Hugging Face video model, unmodified, with the one forward that everything trains and evaluates through."""

import logging
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.distributed as dist
from peft import PeftModel
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor
from transformers.utils import logging as hf_logging

from videoperceiver.errors import ModelError
from videoperceiver.models import forward, vision
from videoperceiver.models import lora as low_rank
from videoperceiver.models.adapters import Adapter, Features, VideoTokens, check_family
from videoperceiver.models.adapters.base import VideoTimes
from videoperceiver.models.attention import TREE, AttentionKind, choose
from videoperceiver.models.feature_cache import FeatureCache, fingerprint
from videoperceiver.models.forward import TreeOutput
from videoperceiver.models.layout import Layout, check_depths, lay_out
from videoperceiver.models.lora import Lora
from videoperceiver.models.text_encoder import TextEncoder, projection
from videoperceiver.models.tree import Node, Tree
from videoperceiver.types import Media

log = logging.getLogger(__name__)
QUESTION = "@@question@@"
ADAPTER_FOLDER = "lora"
BLANK_PX = 56
"""Side of the patch that stands for no video; every family accepts it, or resizes it."""
BESIDE = "text_projection."
"""Names of weights that are trained beside the model, and are no part of its plain folder."""


@contextmanager
def without_bars() -> Iterator[None]:
    """Keeps transformers' own progress bars, a fraction of a second long, off the stage's terminal."""
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()


class Prompt(NamedTuple):
    """The chat template, cut where a Tree branches: text up to the end of the video, before the question, after it, after an answer."""

    opening: str
    before_question: str
    after_question: str
    end_of_turn: str


class Backbone(nn.Module):
    """The policy: `forward(trees, tap_blocks)` is the only way through it.

    Attributes:
        model: the Hugging Face model, or its PEFT wrapper.
        adapter: the family's answers.
        tokenizer, processor: the checkpoint's own.
        attention: "dense", "segments", "flex", or "auto" by size and device.
        text_encoder, text_projection: of keywords, where they do not go in as the model's own tokens; see `attach_text_encoder`.
        timings: seconds of the last forward, "vision" and "llm"; on a GPU only what its launches took.
        frozen_vision: whether features may be remembered.
        cache: features on disk; see `cache_features`.
    """

    def __init__(self, model: nn.Module, processor: Any, *, attention: AttentionKind = "auto", video_times: VideoTimes = "processor"):
        super().__init__()
        base: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        self.model = model
        self.processor, self.tokenizer = processor, processor.tokenizer
        self.adapter: Adapter = check_family(base.config.model_type, "model")(base, processor, video_times)
        self.attention: AttentionKind = attention
        self.cache: FeatureCache | None = None
        self.text_encoder: TextEncoder | None = None
        self.text_projection: nn.Linear | None = None
        self.timings: dict[str, float] = {}
        base.config.get_text_config()._attn_implementation = TREE
        self.prompt = self._read_prompt("video")
        self.prompt_of = lru_cache(3)(self._read_prompt)
        self._encode_cached = lru_cache(8192)(self._encode)
        self._spell_cached = lru_cache(256)(self._spell)
        self._lost: set[str] = set()

    @classmethod
    @without_bars()
    def load(
        cls,
        id_or_path: str | Path,
        *,
        dtype: torch.dtype | str = torch.float32,
        lora: Lora | None = None,
        freeze_vision: bool = True,
        gradient_checkpointing: bool = False,
        attention: AttentionKind = "auto",
        video_times: VideoTimes = "processor",
    ) -> "Backbone":
        """Load a checkpoint from a folder or the hub (safetensors only, no remote code), in evaluation mode.

        Args:
            id_or_path: a folder saved by `save` or transformers, or a hub id.
            dtype: of the weights, e.g. torch.bfloat16 or "bfloat16".
            lora: train low-rank updates of the language blocks instead of all weights.
            freeze_vision: keep tower and projector as they are; features are then computed once a tree.
            gradient_checkpointing: recompute blocks in the backward pass.
            attention: how packed trees attend; "auto" picks by size and device.
            video_times: "clip" gives each patch its own temporal position where the processor would assume an even grid.

        Raises:
            ModelError: no such checkpoint, no processor, another architecture, or a processor that does not fit.
        """
        where = str(id_or_path)
        dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
        try:
            config = AutoConfig.from_pretrained(where, trust_remote_code=False)
            check_family(config.model_type, where)
            model = AutoModelForImageTextToText.from_pretrained(where, dtype=dtype, use_safetensors=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"{where}: no checkpoint loads from there ({error}); give a folder with config.json and safetensors, or a hub id") from error
        try:
            processor = AutoProcessor.from_pretrained(where, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ModelError(f"{where}: the checkpoint has no processor ({error}); copy the processor and tokenizer files of its base model there") from error
        if not hasattr(processor, "video_processor") or processor.video_processor is None:
            raise ModelError(f"{where}: got a {type(processor).__name__} without a video processor; copy the processor files of the base model there")
        backbone = cls(model, processor, attention=attention, video_times=video_times)
        backbone._prepare(lora, freeze_vision, gradient_checkpointing)
        return backbone.eval()

    def _prepare(self, lora: Lora | None, freeze_vision: bool, gradient_checkpointing: bool) -> None:
        if lora is not None:
            self.model = low_rank.add(self.adapter, lora)
        if freeze_vision:
            for module in self.adapter.vision:
                module.requires_grad_(False)
        if gradient_checkpointing:
            self.adapter.model.activation_checkpointing_enable({"use_reentrant": False})

    @without_bars()
    def save(self, folder: str | Path) -> Path:
        """Write a plain Hugging Face folder that transformers and vLLM load; LoRA updates are merged in, and also kept apart in `lora/`."""
        folder = Path(folder)
        base = self.adapter.model
        if isinstance(self.model, PeftModel):
            self.model.save_pretrained(str(folder / ADAPTER_FOLDER))
            self.model.merge_adapter()
            state = {name.replace(".base_layer", ""): value for name, value in base.state_dict().items() if ".lora_" not in name}
            base.save_pretrained(folder, state_dict=state)
            self.model.unmerge_adapter()
        else:
            base.save_pretrained(folder)
        self.processor.save_pretrained(folder)
        return folder

    @without_bars()
    def attach_text_encoder(self, id_or_path: str | Path) -> None:
        """Let keywords go in as a text encoder reads them, through a projection that is trained (paper 3.2). Raises ModelError."""
        self.text_encoder = TextEncoder(id_or_path)
        self.text_projection = projection(self.text_encoder.width, self.adapter.decoder.get_input_embeddings().weight)

    # the forward

    def forward(self, trees: Sequence[Tree], tap_blocks: Sequence[int] = ()) -> TreeOutput:
        """Score every labelled token of every tree.

        Args:
            trees: B trees of any sizes.
            tap_blocks: 1-based; the hidden state after these blocks is read at the last token of each tapped node.

        Raises:
            ValueError: a node asks for something impossible (a target on an early exit, a tap after its exit).
            ModelError: log-probabilities are not finite.
        """
        check_depths(trees, self.num_blocks, self.adapter.min_depth, tap_blocks)
        began = time.perf_counter()
        features = self.features(trees)
        encoded = time.perf_counter()
        aside = self._depth_aside(trees)
        output = self._run(trees, tap_blocks, features) if not aside else self._run_apart(trees, tap_blocks, features, aside)
        self.timings = {"vision": encoded - began, "llm": time.perf_counter() - encoded}
        return output

    def _run_apart(self, trees: Sequence[Tree], tap_blocks: Sequence[int], features: Features | None, depth: int) -> TreeOutput:
        """Two passes: what is trained, and what runs without gradient, down to a depth."""
        parts = [[tree.part(gradient=gradient) for tree in trees] for gradient in (True, False)]
        output = self._run([tree for tree, _ in parts[0]], tap_blocks, features)
        with torch.no_grad():
            if any(len(kept) for _, kept in parts[1]):
                aside = self._run([tree for tree, _ in parts[1]], tap_blocks, features)
            else:  # other ranks have such nodes, and the blocks of FSDP2 are gathered by all or none
                word = Node(np.full(1, self.tokenizer.eos_token_id), depth=depth)
                aside = self._run([Tree([word], np.zeros((1, 2, 2, 3), np.uint8), np.zeros(1), [])], tap_blocks, None)
        return forward.join(output, aside, *([kept for _, kept in part] for part in parts))

    def _depth_aside(self, trees: Sequence[Tree]) -> int:
        """Blocks that nodes without gradient run through, 0 without any; under FSDP2 the most of all ranks."""
        depths = [min(int(tree.depth[i]), self.num_blocks) for tree in trees for i, node in enumerate(tree.nodes) if not node.gradient]
        depth = max(depths, default=0)
        if torch.is_grad_enabled() and isinstance(self.adapter.decoder.layers[0], FSDPModule):
            agreed = torch.tensor(depth, device=self.device)
            dist.all_reduce(agreed, op=dist.ReduceOp.MAX)
            depth = int(agreed)
        return depth

    def _run(self, trees: Sequence[Tree], tap_blocks: Sequence[int], features: Features | None) -> TreeOutput:
        layout, hidden, placed, kind = self.start(trees, features)
        hidden, taps = forward.run_blocks(self.adapter, layout, hidden, placed, kind, tap_blocks)
        logps, entropy, distributions = forward.score(self.adapter, layout, hidden, trees)
        node, tap_index = torch.from_numpy(layout.target_node), torch.from_numpy(layout.slots[layout.taps])
        return TreeOutput(logps, entropy, node.to(hidden.device), taps, tap_index.to(hidden.device), distributions)

    def start(self, trees: Sequence[Tree], features: Features | None = None) -> tuple[Layout, Tensor, Any, AttentionKind]:
        """Layout, embeddings, placed features and kind of attention of a batch, whose features are computed if not given."""
        adapter, features = self.adapter, self.features(trees) if features is None else features
        layout, kind = self.layout(trees)
        hidden, placed = forward.embed(adapter, layout, features, self.training)
        hidden = hidden if self.text_projection is None else forward.embed_texts(layout, hidden, self.text_projection)
        return layout, hidden, placed, kind

    def layout(self, trees: Sequence[Tree]) -> tuple[Layout, AttentionKind]:
        """Where each token of a batch sits, and its kind of attention."""
        kind = choose(self.attention, max(tree.num_tokens for tree in trees), self.device)
        tokens = [self.adapter.tokens_per_patch(*tree.frames.shape[1:3]) for tree in trees]
        firsts = np.cumsum([0, *(len(tree.patches) * size for tree, size in zip(trees, tokens, strict=True))])
        media = (self.adapter.video_token_id, self.adapter.image_token_id)
        starts = [first + size * np.arange(len(tree.patches)) for tree, size, first in zip(trees, tokens, firsts, strict=False)]
        how = {"media_token_ids": media, "patch_start": starts, "patch_tokens": tokens, "one_row": kind != "dense"}
        return lay_out(trees, num_blocks=self.num_blocks, **how), kind

    def features(self, trees: Sequence[Tree]) -> Features | None:
        """Video features of the trees' patches, tree after tree; None if no tree has a video.

        A rank without any still sends a blank patch through a tower that is trained, so that all ranks have gradients of the same weights to exchange.
        """
        if not any(tree.patches for tree in trees):
            alone = not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1)
            if alone or self.frozen_vision or not torch.is_grad_enabled():
                return None
            blank = self.adapter.fit(np.zeros((self.adapter.frames_per_patch, BLANK_PX, BLANK_PX, 3), np.uint8))
            return self.adapter.encode(torch.from_numpy(blank)[None].to(self.device))
        if self.frozen_vision:
            return vision.encode_frozen(self.adapter, trees, self.device, self.cache)
        return vision.encode(self.adapter, trees, self.device)

    # what a tree builder asks

    @property
    def device(self) -> torch.device:
        return self.adapter.decoder.get_input_embeddings().weight.device

    @property
    def num_blocks(self) -> int:
        """Decoder blocks."""
        return len(self.adapter.decoder.layers)

    @cached_property
    def context(self) -> int:
        """Positions the model was made for."""
        return self.adapter.model.config.get_text_config().max_position_embeddings

    @property
    def frozen_vision(self) -> bool:
        return not any(weight.requires_grad for module in self.adapter.vision for weight in module.parameters())

    def cache_features(self, folder: str | Path) -> None:
        """Keep the features of a frozen tower on disk, keyed by the content of pixels and weights.

        Raises:
            ModelError: the tower is trained, so its features change.
        """
        if not self.frozen_vision:
            raise ModelError("the vision tower is trained, so its features cannot be cached; use freeze_vision=True or no cache")
        setting = f"{self.processor.video_processor.to_json_string()}{self.adapter.model.dtype}"
        self.cache = FeatureCache(folder, fingerprint(self.adapter.vision, setting))

    def encode_text(self, text: str) -> np.ndarray:
        """Token ids (L,) int64, no specials added; cached, do not write to it.

        Raises:
            ModelError: a word is not in the vocabulary (word-level tokenizers); names it.
        """
        return self._encode_cached(text)

    def _encode(self, text: str) -> np.ndarray:
        encoding = self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
        ids = np.asarray(encoding.ids, dtype=np.int64)
        unknown = self.tokenizer.unk_token_id
        if unknown is not None and (ids == unknown).any():
            start, stop = encoding.offsets[int(np.flatnonzero(ids == unknown)[0])]
            raise ModelError(
                f"the word {text[start:stop]!r} is not in the tokenizer's vocabulary of {len(self.tokenizer)}; expected known words only, in {text!r}"
            )
        ids.flags.writeable = False
        return ids

    def spell_video(self, t_s: np.ndarray, height_px: int, width_px: int) -> VideoTokens:
        """Tokens and positions from the conversation's start to the end of a video with patches at times (patches, frames_per_patch)."""
        return self._spell_cached(t_s.tobytes(), t_s.shape, height_px, width_px)

    def _spell(self, times: bytes, shape: tuple[int, ...], height_px: int, width_px: int) -> VideoTokens:
        t_s = np.frombuffer(times, dtype=np.float64).reshape(shape)
        return self.adapter.spell(self.prompt.opening, t_s, height_px, width_px, self.encode_text)

    def spell_media(self, media: Media, t_s: np.ndarray, height_px: int, width_px: int) -> VideoTokens:
        """As `spell_video`; or up to the end of a picture; or, without either, up to the question."""
        if media == "video":
            return self.spell_video(t_s, height_px, width_px)
        opening = self.prompt_of(media).opening
        if media == "image":
            return self.adapter.spell_image(opening, height_px, width_px, self.encode_text)
        ids = self.encode_text(opening)
        return VideoTokens(ids, np.broadcast_to(np.arange(len(ids)), (3, len(ids))), np.full(len(ids), -1))

    def report_lost_time(self, t_s: np.ndarray, sample_id: str | None) -> str | None:
        """What of the clip's times the family's format cannot express; logged once for each kind of loss."""
        lost = self.adapter.time_loss(t_s)
        if lost and (kind := re.sub(r"[\d.e-]+", "#", lost)) not in self._lost:
            self._lost.add(kind)
            log.warning("sample %s: %s (further samples of this kind are not reported)", sample_id, lost)
        return lost

    def _read_prompt(self, media: Media) -> Prompt:
        shown = [] if media == "none" else [{"type": media}]
        conversation = [{"role": "user", "content": [*shown, {"type": "text", "text": QUESTION}]}]
        rendered = self.processor.apply_chat_template(conversation, tokenize=False, add_generation_prompt=True)
        placeholder = {"video": self.adapter.placeholder, "image": self.adapter.image_placeholder, "none": ""}[media]
        question = rendered.find(QUESTION)
        end = question if media == "none" else rendered.find(placeholder) + len(placeholder)
        found = rendered.count(placeholder) if placeholder else int(media == "none")
        if found != 1 or rendered.count(QUESTION) != 1 or end > question:
            raise ModelError(f"the processor's chat template renders {rendered!r}; expected one {placeholder!r} before one question")
        return Prompt(rendered[:end], rendered[end:question], rendered[question + len(QUESTION) :], self.tokenizer.eos_token)
