"""What a run is seen by while it works: traces and metrics, from the events that it tells."""
