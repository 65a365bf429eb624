"""How the tables came to be: an alembic environment with its versions as an ordered list.

A version that has been released is never edited; a change is a new version at the end.
"""
