"""The stack: the compose file, the proxy, the supervisor, and that it survives a loss."""
