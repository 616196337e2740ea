"""Behaviour, stated and checked."""
