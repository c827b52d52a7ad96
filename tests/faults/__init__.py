"""Fault drills: real processes are broken on purpose while clients that verify everything are connected.

    python -m tests.faults --list
    python -m tests.faults feed_killed
    make faults

A drill breaks one thing and measures: how soon that was noticed, how soon all was well again, and whether any answered
write was lost or done twice, or any client missed a revision, had one twice or out of order. The clients are the load
generator's own (`seatsync.load`), so what judges a drill is what judges a load test.
"""
