"""One sentence for the person who gave us something we cannot use."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence: what is wrong, and what would be right. Programs print it and
    exit with code 2; nothing that was there before is lost.
    """


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence that names the last good checkpoint."""


class StreamError(TrainingError):
    """A source on the Hub stays out of reach: nothing is wrong with the run, which may go on later."""


def first_line(error: Exception) -> str:
    """What an exception says first, for a sentence of our own; its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
