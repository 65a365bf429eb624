"""Pretrained models: encoders now, language models later.

Knows how to turn text into vectors and what that costs; knows no task, no label, no workspace.
"""
