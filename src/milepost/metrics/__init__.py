"""Pure arrays in, numbers out: scores, intervals, calibration, tests; each names its paper.

Nothing here knows a task, a file or a model, and nothing here keeps state.
"""
