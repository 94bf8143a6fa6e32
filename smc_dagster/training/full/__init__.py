"""Training the whole network of an arm, where a study asks for `tuning: full`."""
