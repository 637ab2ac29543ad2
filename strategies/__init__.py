"""The server's side of Flower: strategies that only ever see masked sums."""

from strategies.secure_aggregation import SecureAggregation

__all__ = ["SecureAggregation"]
