"""Encoders that lie in a bundle: how their tensors are kept, and how they run."""
