"""Contrastive tuning of an encoder on one task or many: records, losses and the loop.

Only this room trains networks. What it makes are arrays that the torch-free runtime reads; torch,
transformers and peft are imported inside the functions that need them.
"""
