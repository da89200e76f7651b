"""Answers of a model, their scores, and what the scores allow one to say."""
