"""Groups of people in the examples: who is in them, how they fare, what swapping them does."""
