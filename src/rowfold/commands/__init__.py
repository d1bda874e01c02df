"""One module for each word of the command line, and `kernels`: what they say about the kernel and the rows alike."""


class UsageError(ValueError):
    """The words name something that is not there: exit code 2, as for every other wrong usage."""
