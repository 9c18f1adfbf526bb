"""`python -m ggez_hub`: the command line."""

from ggez_hub.cli.main import main

main()
