"""Tasks that learn from each other: tuned together, each still judged by its own contest."""
