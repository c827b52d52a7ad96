"""The embedded PostgreSQL: `server` starts, joins and stops it; `programs` finds and runs the wheel's programs through
the script `launch`; `cluster` makes a data directory, and `files` reads it."""
