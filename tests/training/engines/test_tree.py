from tests.training.engines.prompts import grow

from videoperceiver.models import Backbone, generate
from videoperceiver.stages import RolloutEngineConfig
from videoperceiver.training.engines.opening import open_engine


def test_the_default_is_the_tree_generator_bit_for_bit(tiny_model):
    backbone = Backbone.load(tiny_model)
    trees, leaves = grow(backbone)
    engine = open_engine(RolloutEngineConfig(), backbone)
    options = {"num_generations": 2, "max_new_tokens": 5, "temperature": 0.8, "top_p": 0.9, "seed": 3}
    drawn, expected = engine.sample(trees, leaves, **options), generate(backbone, trees, leaves, **options)
    for tree, same in zip(drawn, expected, strict=True):
        for leaf, its in zip(tree, same, strict=True):
            for a, b in zip(leaf, its, strict=True):
                assert a.token_ids.tolist() == b.token_ids.tolist()
                assert a.logps.tolist() == b.logps.tolist()


def test_sync_takes_another_policy(tiny_model):
    backbone, other = Backbone.load(tiny_model), Backbone.load(tiny_model)
    engine = open_engine(RolloutEngineConfig(), backbone)
    engine.sync(other)
    assert engine.backbone is other  # pyright: ignore[reportAttributeAccessIssue]
    engine.close()
