"""Who does it: coordinator, researcher, coder, critic, each a prompt, tools, a role and limits."""
