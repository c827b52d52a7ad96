"""The embedded PostgreSQL: found, set up, started, joined and stopped.

`embedded` is the whole of it in use; `programs` are the wheel's and who runs them, `launch` is the script that turns
into one, `cluster` makes a data directory, and `files` reads what the server leaves in it.
"""
