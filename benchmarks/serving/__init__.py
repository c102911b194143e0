"""What serving takes, as ratios of two sides that one run measures in turns: ``movierec bench serving``."""
