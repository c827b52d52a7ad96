"""Logs, their sampling, and metrics."""
