"""The runner inside the sandbox: standard library only, and nothing heavy before the user's code asks for
it."""
