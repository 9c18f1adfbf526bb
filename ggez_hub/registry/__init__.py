"""The registry: from a request to pinned inputs, and from those to a folder with a lock file."""
