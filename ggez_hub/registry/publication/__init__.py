"""What is sent to a hub: an adapter with its card, the result of a pull, the index."""
