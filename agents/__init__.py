"""Who does it: coordinator, researcher, coder, critic, each a prompt, tools, a model role and limits."""
