"""Prompts of tasks: read from files, kept as versions, pointed at, with what came of them.

Which prompt is better is for contests to say; nothing here asks a language model.
"""
