"""Halls: their snapshots and updates, and changing seats."""
