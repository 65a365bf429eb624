"""Search: parameters of a strategy chosen per task, from what was learned on other tasks.

Says which values to try and how to choose; never fits on rows that an answer must not have seen.
"""
