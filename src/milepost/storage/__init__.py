"""What lasts: the SQL ledger, the artifacts and the cache of vectors.

Stores and returns the records of ``milepost.entities``; decides nothing about them.
"""
