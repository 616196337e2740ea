"""How events and answers look on each wire, and how messages are read from it."""
