"""Documents in, evidence out: parse, chunk, embed, store, search."""
