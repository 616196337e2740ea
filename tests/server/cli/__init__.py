"""The command line from outside: the real program in a process of its own."""
