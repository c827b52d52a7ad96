"""The message protocol: the envelope, one call and its reply, parameters, and the registry of methods. Sans I/O."""
