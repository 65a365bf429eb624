"""Which slices a search tries. Formed from inputs, metadata, labels and answers, never mistakes."""
