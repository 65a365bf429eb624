"""What an answer is worth: measures of quality, their tables of counts, and calibration."""
