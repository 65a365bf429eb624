"""The close examination of one candidate: one module per section, each reading a ``Subject``."""
