"""A lineage as a tree in the terminal, as a drawing and as a page; records in, words out."""
