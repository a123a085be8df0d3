"""What is said to a person: sentences that know their template and values, and the errors that carry them."""


class Sentence(str):
    """A sentence for a person to read, made of a template and its values, so that others may say it in their language.

    Args:
        template: English, with a capital and a full stop; names in braces stand for values. Without values it is
            taken as it is, braces and all.
        values: what stands in place of the names.
    """

    template: str
    values: dict[str, object]

    def __new__(cls, template: str, **values: object) -> "Sentence":
        """The sentence in English."""
        made = super().__new__(cls, template.format_map(values) if values else template)
        made.template, made.values = template, values
        return made

    def __reduce__(self) -> tuple[object, ...]:
        """Pickled whole: a str's own way would forget template and values."""
        return _again, (self.template, self.values)


def _again(template: str, values: dict[str, object]) -> Sentence:
    return Sentence(template, **values)


class InputError(ValueError):
    """What the user gave cannot be used.

    The message is one sentence: what is wrong, and what would be right. Programs print it and
    exit with code 2; nothing that was there before is lost.

    Args:
        template: of the sentence, or the sentence itself where it has no values; see `Sentence`.
        values: by the names in the template.
    """

    def __init__(self, template: str, **values: object) -> None:
        whole = isinstance(template, Sentence) and not values
        self.sentence = template if whole else Sentence(template, **values)
        super().__init__(str(self.sentence))


class TrainingError(RuntimeError):
    """Training cannot go on; the message is one sentence that names the last good checkpoint."""


class StreamError(TrainingError):
    """A source on the Hub stays out of reach: nothing is wrong with the run, which may go on later."""


def first_line(error: Exception) -> str:
    """What an exception says first, for a sentence of our own; its class where it says nothing."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__
