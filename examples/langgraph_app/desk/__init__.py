"""A LangGraph application as it is before it moves to Counterpoint: nothing in it knows of that."""
