"""The explorer: a map of the accepted adapters, as static files that any folder serves."""
