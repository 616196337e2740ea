"""Assistants: a graph with a configuration under a name, in versions."""
