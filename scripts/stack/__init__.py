"""The stack of docker-compose.yml without Docker: the same processes, all on loopback."""
