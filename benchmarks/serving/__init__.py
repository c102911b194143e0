"""Measures serving as ratios of two sides, run in turns on one machine: ``movierec bench serving``."""
