"""Files and dataframes in, frozen records out: load, clean, group, split, profile, snapshot.

Works on paths, bytes and values; never knows the ledger, an encoder or a strategy.
"""
