"""The OpenAI API over tasks: models, embeddings, moderations, chat completions.

A task is a model named ``milepost/NAME``. Here one wire format is turned into questions and
answers, and back; nothing about an answer is decided.
"""
