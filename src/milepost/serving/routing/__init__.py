"""Which release answers: channels, shares, pins, guards; loaded releases and their change."""
