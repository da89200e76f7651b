"""The lab: rendered transient events, tiny backbones and the experiments that run on them."""
