"""A Flower ClientApp without secure aggregation, the benchmark's: same training, weights and counts in the clear."""

from bench.plain.client_app import plain as app

__all__ = ["app"]
