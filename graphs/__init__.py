"""In what order: the team's state machine, the agent loop, run events, the checkpoint saver."""
