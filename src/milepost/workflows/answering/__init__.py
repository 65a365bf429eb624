"""Answers of a release or candidate to texts, dataframes and files, and its measurement on one."""
