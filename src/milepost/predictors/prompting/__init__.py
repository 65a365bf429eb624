"""Prompts as predictors: templates, strict reading of answers, and what the answers are worth.

Nothing here speaks to anybody: a predictor yields questions and is sent what came of them. A
template is somebody's input, and runs without calls, arithmetic or attributes of its own choice.
"""
