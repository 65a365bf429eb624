"""Risk control: thresholds that keep a promise, and tests that they still do. Pure arrays."""
