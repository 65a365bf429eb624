"""From answers to records: scorecards, slices, paired comparisons, time and cost.

Knows examples and probabilities; knows no strategy, no predictor and no store.
"""
