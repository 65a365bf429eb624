"""Clients that ask language models themselves: guards, records and the way through. No HTTP."""
