"""Traces of what was answered, written in groups off the path of requests."""
