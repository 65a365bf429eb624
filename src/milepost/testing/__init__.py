"""Fakes and conformance checks, public: milepost's own tests and those of plug-ins share them.

What lives here needs no network, no clock and no test framework; a check raises
``AssertionError`` with a sentence.
"""
