"""From a file or folder to a card, an adapter repository and a pull request."""
