"""VideoPerceiver: video language models that see brief events."""

__version__ = "0.1.0"
