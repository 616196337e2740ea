"""Behaviour of this room."""
