"""Serving open models with vLLM: what fits, with which flags, and how fast."""
