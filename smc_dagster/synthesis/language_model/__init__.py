"""A causal transformer of our own: its tokens, its training, its folder, and text drawn from it."""
