"""What tests of the pipeline share: three styles, paintings compared, and the sentence of a refusal."""

import numpy as np
import pytest
from PIL import Image

from styletransfer.errors import InputError

STYLES = {"wave": "The Wave", "night": "Night", "alps": "High Alps"}  # not in the order of the alphabet


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def farthest(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of any channel of any pixel, in gray levels."""
    assert (one.mode, one.size) == (other.mode, other.size)
    return int(np.abs(pixels(one) - pixels(other)).max())


def refusal(call: object, *arguments: object, **settings: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)
