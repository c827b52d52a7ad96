"""Seating plans: the layout of a hall as a file, in JSON of our own, pretix's JSON, or CSV.

A server imports it when it has demo halls to make.
"""
