"""``seatsync serve`` as a process: alone, or as workers under a supervisor."""
