"""What may answer: bundles, releases and channels, and what is told about them."""
