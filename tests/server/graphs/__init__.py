"""Users' graphs: found, opened, run, resumed."""
