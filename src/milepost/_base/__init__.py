"""Ground floor: time, digests and settings.

Everything may import from here; nothing here imports from milepost.
"""
