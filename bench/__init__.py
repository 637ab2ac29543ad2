"""Benchmarks: each command prints what it measured as ratios; none is needed to run Chorus."""
