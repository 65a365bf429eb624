"""The demo workspace as package data: an inbox of a household-goods shop and seven tasks on it.

The messages were written for milepost; they carry the project's licence.
"""
