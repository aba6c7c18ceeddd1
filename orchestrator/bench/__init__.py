"""Measures what a user pays, as ratios of one run: ours against `docker run` and `cp` on the same machine."""
