"""From a request to pinned inputs: candidates, their order, the reasons against the others."""
