"""Strategies that find spans: strings that were seen, and conditional random fields on words."""
