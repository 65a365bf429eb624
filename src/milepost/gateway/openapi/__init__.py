"""The OpenAPI document, made from the table of routes alone, and the page that shows it."""
