"""Calls that end by their deadline, whatever the upstream does. The only place that tries again.

Knows no wire format and no money beyond what attempts say that they cost.
"""
