"""The Discord bot: a chat whose model can run code; it knows only the public names of `orchestrator`."""
