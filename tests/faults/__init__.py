"""What goes wrong: faults on real processes and a real Redis, seeded, judged by one oracle."""
