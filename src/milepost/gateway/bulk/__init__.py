"""Many inputs in one request: lines and files, answered in order while they are still coming in.

Memory is bounded whatever the length: a window of rows is under way, and no more is read while it
is full or while the client does not take what is answered.
"""
