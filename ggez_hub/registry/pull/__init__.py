"""From a resolution to a folder: costs, the merge, its lock and card, and the way back to a hub."""
