"""What tests of training share: pictures drawn once, and the settings of a training in miniature."""

import pytest
from training_kit import TINY, draw_pictures


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Five photos and the paintings of two styles; who changes them copies them first."""
    return draw_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def settings(pictures):
    return {**TINY, **pictures.sources}
