"""Code runs here and nowhere else: one process per execution, isolated and limited."""
