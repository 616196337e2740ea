"""The pages for the people who watch and decide: static files over the public API."""
