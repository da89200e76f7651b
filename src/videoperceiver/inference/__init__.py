"""A trained model in people's hands: ask, describe, find, on videos of any length."""
