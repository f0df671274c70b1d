"""A study as one page, a table and figures."""
