"""Benchmarks: each module measures one promise against a peer or a floor in the same run.

Nothing here is imported by milepost; peers run in child processes, so that their memory and their
imports are their own.
"""
