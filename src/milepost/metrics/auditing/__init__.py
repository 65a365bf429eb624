"""What was learned that should not have been: wrong labels, membership, memorised strings."""
