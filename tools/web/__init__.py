"""The outside world, by URL: which addresses may be spoken to."""
