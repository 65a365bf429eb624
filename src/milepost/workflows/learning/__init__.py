"""What changes between two contests: labels learned at once, and examples forgotten."""
