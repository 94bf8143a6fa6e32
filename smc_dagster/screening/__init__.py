"""What a pool is like: scores of its documents, and a profile of it beside real text."""
