"""One queue and one encoder pass for the texts of all tasks; all heads on the same vectors."""
