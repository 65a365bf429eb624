"""Peers as people deploy them, each file run by the interpreter of its own environment.

Each answers ``{"inputs": [text]}`` with a label and its probability, from MiniLM and one linear
head of ten labels; only Infinity, which has no heads, gives the vector. Nothing here imports
milepost.
"""
