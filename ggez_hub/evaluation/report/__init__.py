"""A report: one page with everything that a card or results folder shows, which opens offline."""
