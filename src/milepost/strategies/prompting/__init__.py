"""Strategies that ask a language model: what is asked, with which examples, and what it is worth.

Each asks the first upstream of its problem through a ``Speaker`` and returns a predictor that asks
the same. What was asked before with the same words costs nothing again, so that the rows on which
an answer's worth is counted are the same ones in every fold as far as the fold has them.
"""
