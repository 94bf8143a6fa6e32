"""Faults on a running study: see __main__.py."""
