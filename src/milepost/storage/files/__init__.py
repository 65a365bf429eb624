"""Bytes by their digest, and the cache of vectors; knows no table."""
