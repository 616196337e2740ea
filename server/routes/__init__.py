"""The HTTP surface: one wire a file."""
