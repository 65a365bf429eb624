"""Processes that serve: one that watches, workers that answer, sockets, and how they end.

What decides about a request lives outside; nothing here knows a task or a key.
"""
