"""The fields of every stage: what a recipe may say, its default, its unit and where it comes from.

Frozen, validated once by `config.load`, saved whole in the run directory. A value the paper states is marked (paper); the others
are our choice. Nested groups keep each record small.
"""

from videoperceiver.stages.data import QUESTION_FAMILIES, AnnotateConfig, AnnotateServerConfig, DataConfig, DataRuntimeConfig
from videoperceiver.stages.demo import DemoConfig
from videoperceiver.stages.evaluation import CONDITIONS, BenchmarkConfig, EngineConfig, EvaluateConfig, EvidenceConfig
from videoperceiver.stages.grpo import CounterfactualConfig, GrpoConfig, RewardConfig, RolloutEngineConfig, SamplingConfig, WatchConfig
from videoperceiver.stages.operators import OPERATORS
from videoperceiver.stages.sft import ContrastiveConfig, SftConfig
from videoperceiver.stages.training import (
    CAPTION_PROMPT,
    IMAGE_PROMPT,
    REFEED_INSTRUCTION,
    ExportConfig,
    HeldOutConfig,
    ModelConfig,
    OptimConfig,
    RuntimeConfig,
)
from videoperceiver.stages.validate import ValidateConfig

__all__ = [
    "CAPTION_PROMPT",
    "CONDITIONS",
    "IMAGE_PROMPT",
    "OPERATORS",
    "QUESTION_FAMILIES",
    "REFEED_INSTRUCTION",
    "AnnotateConfig",
    "AnnotateServerConfig",
    "BenchmarkConfig",
    "ContrastiveConfig",
    "CounterfactualConfig",
    "DataConfig",
    "DataRuntimeConfig",
    "DemoConfig",
    "EngineConfig",
    "EvaluateConfig",
    "EvidenceConfig",
    "ExportConfig",
    "GrpoConfig",
    "HeldOutConfig",
    "ModelConfig",
    "OptimConfig",
    "RewardConfig",
    "RolloutEngineConfig",
    "RuntimeConfig",
    "SamplingConfig",
    "SftConfig",
    "ValidateConfig",
    "WatchConfig",
]
