"""The engine a recipe names."""

from videoperceiver.models.backbone import Backbone
from videoperceiver.stages import RolloutEngineConfig
from videoperceiver.training.engines.protocol import RolloutEngine
from videoperceiver.training.engines.tree import TreeEngine


def open_engine(config: RolloutEngineConfig, backbone: Backbone, *, dtype: str = "float32", rank: int = 0, world_size: int = 1) -> RolloutEngine:
    """The engine a recipe names, holding the policy's weights.

    Args:
        config: of the recipe.
        backbone: the policy.
        dtype: the recipe's model.dtype.
        rank: of this process.
        world_size: processes of the run; every one opens its engine.

    Raises:
        ConfigError: no server is named, or a URL is none.
        MissingExtraError: vLLM is not installed here.
        EngineError: a server does not answer, or serves something else.
    """
    if config.kind == "tree":
        return TreeEngine(backbone)
    if config.kind == "server":
        from videoperceiver.training.engines.client import ServerEngine

        engine = ServerEngine(config.servers, backbone, config.deadline_s, dtype=dtype, rank=rank, world_size=world_size)
    else:
        from videoperceiver.training.engines.colocated import ColocatedEngine

        options = {"memory_share": config.memory_share, "sleep": config.sleep, "max_model_len": config.max_model_len, "eager": config.eager}
        engine = ColocatedEngine(backbone, dtype=dtype, **options)
    engine.sync(backbone)
    return engine
