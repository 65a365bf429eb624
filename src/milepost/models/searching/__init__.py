"""Finding texts: by their words, by their vectors, or by both. Exact, in memory, numpy alone."""
