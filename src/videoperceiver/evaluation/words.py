"""Conditions as a reader should see them."""

CONDITIONS = {"full": "V", "degraded": "V′", "shuffled": "V shuffled", "blank": "blank frames", "text": "question alone"}
