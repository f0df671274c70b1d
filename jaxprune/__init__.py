"""jaxprune: prune multilingual language models, calibrated in the languages they serve."""

__version__ = "0.1.0"
