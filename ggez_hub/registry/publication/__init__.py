"""What is sent to a hub: an adapter with its card, or the result of a pull."""
