"""Cascades: which predictors become rungs, what of them is certified, and what is promised."""
