"""Strategies that order candidates for a query, and what they share."""
