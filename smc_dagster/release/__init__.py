"""Releasing an arm: the gate, the choice among arms, and the release in force."""
