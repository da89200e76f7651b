"""The two training stages, plain torch: one file each reads as the algorithm."""
