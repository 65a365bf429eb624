"""Moving tasks to another encoder: the same strategy refitted on it, judged, and moved together."""
