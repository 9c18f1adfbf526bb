"""SEA-HELM (aisingapore/SEA-HELM): its task files as benchmarks, its runs read and written."""
