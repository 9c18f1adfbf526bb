"""Bills of materials: what a lock and a card say, as CycloneDX 1.6, and how complete that is."""
