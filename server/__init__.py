"""How the world reaches it: settings, composition root, runs, streaming, routes, CLI."""
