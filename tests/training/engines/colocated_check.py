"""Run by the vLLM environment's interpreter: the colocated engine against the tree generator; prints JSON."""

import json
import sys

import numpy as np
from tests.training.engines.prompts import grow, shake

from videoperceiver.models import Backbone, generate
from videoperceiver.models.lora import Lora
from videoperceiver.training.engines.colocated import ColocatedEngine

DRAW = {"num_generations": 1, "max_new_tokens": 12, "temperature": 0.0, "seed": 0}

result = {"same": [], "difference": []}
for rank in (0, 4):
    policy = Backbone.load(sys.argv[1], lora=Lora(rank=rank) if rank else None)
    trees, leaves = grow(policy)
    engine = ColocatedEngine(policy, max_model_len=2048, eager=True, sleep=True)
    for update in range(2):
        shake(policy, 0.15, update)
        engine.sync(policy)
        drawn, expected = engine.sample(trees, leaves, **DRAW), generate(policy, trees, leaves, **DRAW)
        pairs = [(a[0], b[0]) for tree, same in zip(drawn, expected, strict=True) for a, b in zip(tree, same, strict=True)]
        result["same"].append(all(a.token_ids.tolist() == b.token_ids.tolist() for a, b in pairs))
        result["difference"].append(float(max(np.abs(a.logps[:1] - b.logps[:1]).max() for a, b in pairs)))
    result["asleep"] = engine.asleep
    engine.close()
sys.stdout.write("\n" + json.dumps(result) + "\n")
