"""Tiny random backbones, saved as plain Hugging Face folders that load offline.

They have the architecture of the real families at 1-2 M parameters and a word-level tokenizer, so that the whole recipe runs on two
CPU cores. Default sizes are those of the prototype in the method notes: a clip of 16 frames of 32x32 px is 32 video tokens.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    ProcessorMixin,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)
from transformers.models.got_ocr2.image_processing_got_ocr2 import GotOcr2ImageProcessor

from videoperceiver.errors import ModelError

SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<unk>",
)
INTERNVL_TOKENS = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>", "video_token": "<video>"}
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'video' %}@VIDEO@{% elif part.type == 'image' %}@IMAGE@{% elif part.type == 'text' %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWEN_VIDEO = "<|vision_start|><|video_pad|><|vision_end|>"
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
FAMILIES = ("qwen2_5_vl", "qwen3_vl", "internvl")
LONGEST_TIMESTAMP_S = 60

Tokens = PreTrainedTokenizerFast
Spec = dict[str, Any]
Built = tuple[PreTrainedModel, ProcessorMixin]


def build_tiny(
    folder: str | Path,
    words: Sequence[str],
    *,
    family: str = "qwen2_5_vl",
    seed: int = 0,
    hidden_size: int = 128,
    num_layers: int = 4,
    vision_hidden_size: int = 96,
    vision_depth: int = 2,
    context: int = 32768,
) -> Path:
    """Save a random model, its tokenizer and its processor.

    Args:
        folder: created; receives config.json, model.safetensors, tokenizer and processor files.
        words: the vocabulary, whitespace-free words (specials, roles and what the family's video layout spells are added).
        family: "qwen2_5_vl", "qwen3_vl" or "internvl" (Hugging Face InternVL).
        seed: of the weights; the global generator is left as it was.
        hidden_size: of the language model; heads have 32 dimensions, two query heads share a key/value head.
        num_layers: of the language model.
        vision_hidden_size: of the vision tower.
        vision_depth: blocks of the vision tower; Qwen3-VL taps DeepStack features at min(3, depth) of them.
        context: the longest sequence, in positions.

    Returns:
        The folder. `AutoProcessor` and `AutoModelForImageTextToText` load it without a network.

    Raises:
        ModelError: an unknown family, or a word that whitespace splitting would not keep whole.
    """
    if family not in FAMILIES:
        raise ModelError(f"got family {family!r}, expected one of {', '.join(FAMILIES)}")
    tokenizer = _tokenizer(words, family)
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": hidden_size,
        "intermediate_size": 3 * hidden_size,
        "num_hidden_layers": num_layers,
        "num_attention_heads": hidden_size // 32,
        "num_key_value_heads": hidden_size // 64,
        "head_dim": 32,
        "max_position_embeddings": context,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    }
    build = {"qwen2_5_vl": _qwen2_5_vl, "qwen3_vl": _qwen3_vl, "internvl": _internvl}[family]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, processor = build(tokenizer, text, vision_hidden_size, vision_depth)
    model.generation_config.pad_token_id, model.generation_config.eos_token_id = text["pad_token_id"], text["eos_token_id"]
    folder = Path(folder)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _tokenizer(words: Sequence[str], family: str) -> PreTrainedTokenizerFast:
    if broken := [word for word in words if not word or word.split() != [word]]:
        raise ModelError(f"got words with whitespace {broken[:3]!r}, expected a word-level vocabulary: split them")
    spelled = ["system", "user", "assistant"]
    if family == "qwen3_vl":
        spelled += ["seconds>", *(f"<{tenth / 10:.1f}" for tenth in range(10 * LONGEST_TIMESTAMP_S))]
    if family == "internvl":
        spelled += [f"Frame{i}:" for i in range(1, 257)]
    media = list(INTERNVL_TOKENS.values()) if family == "internvl" else []
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys([*SPECIALS, *media, *spelled, *words]))}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.add_special_tokens([*SPECIALS, *media])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="<unk>",
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=INTERNVL_TOKENS if family == "internvl" else {},
        clean_up_tokenization_spaces=False,
    )


def _media_ids(tokenizer: Tokens) -> dict[str, Any]:
    names = {"image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>"}
    names |= {"vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>"}
    return {key: _id(tokenizer, token) for key, token in names.items()}


def _id(tokenizer: Tokens, token: str) -> int:
    found = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(found, int)
    return found


def _qwen2_5_vl(tokenizer: Tokens, text: Spec, width: int, depth: int) -> Built:
    rope: Spec = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [4, 6, 6]}
    vision = {
        "depth": depth,
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_heads": width // 24,
        "patch_size": 8,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
        "window_size": 32,
        "fullatt_block_indexes": [depth - 1],
        "tokens_per_second": 2,
        "out_hidden_size": text["hidden_size"],
    }
    config = Qwen2_5_VLConfig(text_config={**text, "rope_parameters": rope}, vision_config=vision, tie_word_embeddings=True, **_media_ids(tokenizer))
    return Qwen2_5_VLForConditionalGeneration(config), _qwen_processor(Qwen2_5_VLProcessor, Qwen2VLVideoProcessor, tokenizer, 8)


def _qwen3_vl(tokenizer: Tokens, text: Spec, width: int, depth: int) -> Built:
    rope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
    vision = {
        "depth": depth,
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_heads": width // 24,
        "patch_size": 8,
        "temporal_patch_size": 2,
        "spatial_merge_size": 2,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": list(range(min(3, depth))),
        "out_hidden_size": text["hidden_size"],
    }
    config = Qwen3VLConfig(text_config={**text, "rope_parameters": rope}, vision_config=vision, tie_word_embeddings=True, **_media_ids(tokenizer))
    return Qwen3VLForConditionalGeneration(config), _qwen_processor(Qwen3VLProcessor, Qwen3VLVideoProcessor, tokenizer, 8)


def _qwen_processor(processor_class: Any, video_class: Any, tokenizer: Tokens, patch_size: int) -> ProcessorMixin:
    sizes: Spec = {"patch_size": patch_size, "temporal_patch_size": 2, "merge_size": 2}
    area = {"shortest_edge": 256, "longest_edge": 2**24}
    video = video_class(**sizes, size=area, do_sample_frames=False, cap_pixels_per_frame=False)
    return processor_class(
        image_processor=Qwen2VLImageProcessor(**sizes, size=area, image_mean=video.image_mean, image_std=video.image_std),
        tokenizer=tokenizer,
        video_processor=video,
        chat_template=CHAT_TEMPLATE.replace("@VIDEO@", QWEN_VIDEO).replace("@IMAGE@", QWEN_IMAGE),
    )


def _internvl(tokenizer: Tokens, text: Spec, width: int, depth: int) -> Built:
    vision = {
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": width // 24,
        "patch_size": [8, 8],
        "image_size": [32, 32],
    }
    text = {**text, "model_type": "qwen2", "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}
    config = InternVLConfig(text_config=text, vision_config=vision, image_token_id=_id(tokenizer, "<IMG_CONTEXT>"), tie_word_embeddings=True)
    size = {"height": 32, "width": 32}
    processor = InternVLProcessor(
        image_processor=GotOcr2ImageProcessor(size=size),
        tokenizer=tokenizer,
        video_processor=InternVLVideoProcessor(size=size),
        image_seq_length=4,
        chat_template=CHAT_TEMPLATE.replace("@VIDEO@", "<video>").replace("@IMAGE@", "<IMG_CONTEXT>"),
    )
    return InternVLForConditionalGeneration(config), processor
