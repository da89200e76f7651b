"""Pretrained helpers behind small protocols: keywords, frame relevance, entailment, chat endpoints."""
