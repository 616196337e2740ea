"""Runs: their records in Redis, the queue that carries their ids, the worker that advances them."""
