"""What the workflows of a registry on GitHub do, each step a function that can be run by hand.

A contribution is read as data: its commits are fetched, its files are read from git's objects, and
nothing of it is checked out or run.
"""
