"""Recommendation models: one interface, a registry by name."""
