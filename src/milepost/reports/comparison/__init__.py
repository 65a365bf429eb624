"""What a comparison of two candidates or releases looks like, in terminals and on a page."""
