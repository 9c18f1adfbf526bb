"""Pages for people at a browser: cards, files, commits and discussions of a repo."""
