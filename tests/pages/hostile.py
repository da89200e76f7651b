"""Text as a model, a file name or an annotator could produce it."""

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> https://example.org/x \x1b[31m\u202e {{ 7*7 }} </style>"
