"""Answers many tasks from one encoder: engine, routing, recording. Knows no HTTP.

Needs neither strategies nor contests nor torch.
"""
