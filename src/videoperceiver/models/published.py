"""Configurations of published checkpoints, to plan and count without their weights.

Values from the checkpoints' config.json files; parameter counts are tested against the published 8.29 B, 3.75 B and 8.77 B.
"""

from typing import Any

import torch
from transformers import AutoConfig, AutoModelForImageTextToText, PretrainedConfig, PreTrainedModel

from videoperceiver.errors import ConfigError

_QWEN25_VISION = {
    "depth": 32,
    "hidden_size": 1280,
    "num_heads": 16,
    "intermediate_size": 3420,
    "patch_size": 14,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "tokens_per_second": 2,
}
_QWEN3_VISION = {
    "depth": 27,
    "hidden_size": 1152,
    "num_heads": 16,
    "intermediate_size": 4304,
    "patch_size": 16,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "deepstack_visual_indexes": [8, 16, 24],
    "num_position_embeddings": 2304,
}
_MEDIA = {"vision_start_token_id": 151652, "vision_end_token_id": 151653, "image_token_id": 151655, "video_token_id": 151656}


def _text(hidden: int, layers: int, heads: int, kv: int, intermediate: int, vocabulary: int, theta: float, section: list[int], **more: Any) -> dict[str, Any]:
    rope = {"rope_type": "default", "rope_theta": theta, "mrope_section": section}
    return {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv,
        "intermediate_size": intermediate,
        "vocab_size": vocabulary,
        "max_position_embeddings": 128000,
        "rope_parameters": rope | more.pop("rope", {}),
        **more,
    }


PUBLISHED: dict[str, dict[str, Any]] = {
    "Qwen/Qwen2.5-VL-3B-Instruct": {
        "model_type": "qwen2_5_vl",
        "text_config": _text(2048, 36, 16, 2, 11008, 151936, 1e6, [16, 24, 24]),
        "vision_config": _QWEN25_VISION | {"out_hidden_size": 2048},
        "tie_word_embeddings": True,
    },
    "Qwen/Qwen2.5-VL-7B-Instruct": {
        "model_type": "qwen2_5_vl",
        "text_config": _text(3584, 28, 28, 4, 18944, 152064, 1e6, [16, 24, 24]),
        "vision_config": _QWEN25_VISION | {"out_hidden_size": 3584},
        "tie_word_embeddings": False,
    },
    "Qwen/Qwen3-VL-8B-Instruct": {
        "model_type": "qwen3_vl",
        "text_config": _text(4096, 36, 32, 8, 12288, 151936, 5e6, [24, 20, 20], head_dim=128, rope={"mrope_interleaved": True}),
        "vision_config": _QWEN3_VISION | {"out_hidden_size": 4096},
        "tie_word_embeddings": False,
    },
}
"""Hub id -> the part of config.json that decides sizes."""


def config_of(hub_id: str) -> PretrainedConfig:
    """The configuration of a published checkpoint, without a network.

    Raises:
        ConfigError: not one of those known here.
    """
    if hub_id not in PUBLISHED:
        raise ConfigError(f"got {hub_id!r}, the sizes of {', '.join(PUBLISHED)} are known here; give a folder with config.json for others")
    values = dict(PUBLISHED[hub_id])
    return AutoConfig.for_model(values.pop("model_type"), **values, **_MEDIA)


def on_meta(config: PretrainedConfig) -> PreTrainedModel:
    """The model with shapes and no weights."""
    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)
