"""What tasks did for each other: tables and pictures from records."""
