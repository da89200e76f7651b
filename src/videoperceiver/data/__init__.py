"""Manifests, pixel caches, key-frame analysis, and samples as Trees."""
