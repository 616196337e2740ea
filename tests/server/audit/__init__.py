"""The audit log on a real Redis."""
