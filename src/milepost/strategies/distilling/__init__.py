"""Students: what a teacher says of many texts, and small models that learn to say the same."""
