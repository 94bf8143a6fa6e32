"""Generators of synthetic text, one module each, and the registry that makes pools with them."""
