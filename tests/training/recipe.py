"""Fields that every tiny run of this folder shares."""

RECIPE = [
    "model.dtype=float32",
    "model.freeze_vision=false",
    "model.gradient_checkpointing=false",
    "batch_size=3",
    "steps=4",
    "checkpoint_every=2",
    "optim.lr=1e-3",
]
