"""Rollout engines: who draws stage 2's completions. The tree generator is embedded; vLLM runs as a server or in the trainer's process."""
