"""The approval queue on a real Redis."""
