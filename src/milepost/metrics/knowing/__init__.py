"""Whether a predictor knows what it does not know: thresholds, sets and scope."""
