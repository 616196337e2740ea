"""What waits for a person: each request, who decided it and how, and whether it was used."""
