"""The admin command line: reads arguments, calls the public names, draws tables."""
