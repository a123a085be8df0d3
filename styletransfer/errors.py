"""One sentence for the person who gave us something we cannot use."""


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence: what is wrong, and what would be right. Programs print it and
    exit with code 2; nothing that was there before is lost.
    """


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence that names the last good checkpoint."""
