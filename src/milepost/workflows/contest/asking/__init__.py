"""Language models in a contest: what may be spent, what was foreseen, and what came of it."""
