"""The command line: one module per noun, no logic; everything goes through ``Workspace``."""
