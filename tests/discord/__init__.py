"""End-to-end tests of the bot: the real clients against a local Discord and a local model server."""
