"""How well it does: questions with known answers, run through the front door."""
