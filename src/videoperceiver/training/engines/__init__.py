"""Rollout engines: who draws stage 2's completions. The tree generator is embedded; vLLM runs as a server or in the trainer's process."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from videoperceiver.models.backbone import Backbone
    from videoperceiver.stages import EngineConfig
    from videoperceiver.training.engines.protocol import RolloutEngine


def open_engine(config: EngineConfig, backbone: Backbone, *, rank: int = 0, world_size: int = 1) -> RolloutEngine:
    """The engine a recipe names, holding the policy's weights.

    Args:
        config: of the recipe.
        backbone: the policy.
        rank: of this process.
        world_size: processes of the run; every one opens its engine.

    Raises:
        ConfigError: no server is named, or a URL is none.
        MissingExtraError: vLLM is not installed here.
        EngineError: a server does not answer, or serves something else.
    """
    # imported when used: the vLLM environment imports this package without torch's and transformers' versions of the trainer
    if config.kind == "tree":
        from videoperceiver.training.engines.tree import TreeEngine

        return TreeEngine(backbone)
    if config.kind == "server":
        from videoperceiver.training.engines.server import ServerEngine

        engine = ServerEngine(config.servers, config.deadline_s, rank=rank, world_size=world_size)
    else:
        from videoperceiver.training.engines.colocated import ColocatedEngine

        engine = ColocatedEngine(backbone, memory_share=config.memory_share, sleep=config.sleep)
    engine.sync(backbone)
    return engine
