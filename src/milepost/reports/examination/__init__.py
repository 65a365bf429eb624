"""What an examination found, for people: one module per section, read from records alone."""
