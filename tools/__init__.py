"""What can be done: retrieval, the sandbox; one tool a file."""
