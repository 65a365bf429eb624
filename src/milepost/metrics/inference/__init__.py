"""What a number is worth: intervals, tests, corrections, planning and forecasts."""
