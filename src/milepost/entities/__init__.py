"""Frozen records, ids and errors: what everything above talks about.

Nothing here reads a file, opens a connection or knows how a record came about.
"""
