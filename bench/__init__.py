"""Measurements: `make bench`. Not tests: they take minutes and their figures are read, not asserted."""
