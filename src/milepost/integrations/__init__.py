"""One module per outside system. Found as an entry point, imported by nobody in this package."""
