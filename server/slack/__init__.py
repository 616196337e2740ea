"""Slack as a surface: what is asked there becomes a run, and its answer is written there."""
