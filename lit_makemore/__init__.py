"""Character-level name generation with a deep MLP and Batch Normalization."""

__version__ = "0.1.0"
