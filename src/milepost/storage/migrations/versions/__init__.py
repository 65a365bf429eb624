"""One module per version of the tables, named in order."""
