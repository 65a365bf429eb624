"""One harness for every strategy: same folds, same budget, same seed, same clock.

Knows how to fit and how to predict out of fold; knows no ledger, no gate and no file.
"""
