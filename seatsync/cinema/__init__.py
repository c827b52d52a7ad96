"""Cinemas: the list with its totals, kept live."""
