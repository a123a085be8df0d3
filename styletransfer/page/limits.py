"""What one visitor may ask of the page: sane defaults, each to be changed by an environment variable."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields

from styletransfer.errors import InputError

PREFIX = "STYLETRANSFER_"


@dataclass(frozen=True)
class Limits:
    """Read from STYLETRANSFER_MAX_MB and so on; every number is at least 1."""

    max_mb: int = 50  # of an uploaded file
    max_megapixels: int = 100  # of a photo
    max_photos: int = 20  # at once
    queue: int = 32  # visitors waiting
    workers: int = 1  # paintings at the same time

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """Raises InputError for what is no whole number of at least 1."""
        given = {field.name: environment.get(PREFIX + field.name.upper(), "") for field in fields(cls)}
        for name, text in given.items():
            if text and not (text.isascii() and text.isdigit() and int(text) >= 1):
                raise InputError(f"{PREFIX}{name.upper()} is {text!r}: give a whole number of at least 1.")
        return cls(**{name: int(text) for name, text in given.items() if text})
