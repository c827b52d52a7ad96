"""Why a load test cannot go on."""


class LoadError(Exception):
    """The test cannot be run, or not to its end; the message is one sentence for a person."""
