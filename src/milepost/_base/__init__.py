"""Ground floor: time, digests, processes and settings.

Everything may import from here; nothing here imports from milepost.
"""
