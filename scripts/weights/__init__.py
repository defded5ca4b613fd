"""Weights of published Python models to and from x2ctpa's model folders; see docs/weights.md."""
