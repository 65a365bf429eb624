"""Task files, their data and their versions."""
