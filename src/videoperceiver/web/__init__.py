"""The page: a video, a question, an answer and what it rests on; runs and manifests to browse. Gradio, extra `web`; no logic of its own."""
