"""`python -m ggez_hub.execution FOLDER SHARE`: what a scheduler starts."""

import sys

from ggez_hub.execution.batches import main

sys.exit(main(sys.argv[1:]))
