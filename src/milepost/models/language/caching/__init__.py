"""Answers that were given before. Knows no wire format and no books.

``exact`` is a layer around a language model, ``stores`` keeps its answers, ``semantic`` answers
questions that mean the same as far as that was certified.
"""
