"""PostgreSQL from trio: the pool, the notification listener, group commit, named queries, migrations and pruning."""
