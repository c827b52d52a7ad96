"""Channels: revisions in order, broadcast to subscribers, with history for those who resume."""
