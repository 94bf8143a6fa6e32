"""Documents in: sources, contract and quarantine, near-duplicates, splits, anchors."""
