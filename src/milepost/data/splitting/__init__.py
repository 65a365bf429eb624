"""What a task says about splitting: columns of groups and times, folds. Pure; keeps no record."""
