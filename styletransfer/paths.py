"""The version, and where packs, example photos and the page's pictures lie: the one place that knows.

In a checkout, and in a Space made from one, `styles/`, `examples/` and `assets/` lie beside the package. An installed
wheel carries the same folders inside the package (see `tool.setuptools` in pyproject.toml).
"""

from pathlib import Path

__version__ = "0.1.0"

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent  # of the checkout or the Space; of an installed package the folder that it is installed in
_DATA = PACKAGE if (PACKAGE / "styles").is_dir() else ROOT
STYLES = _DATA / "styles"
SHIPPED_PACK = STYLES / "starry-night"  # the pack that is used where none is named
EXAMPLES = _DATA / "examples"
ASSETS = _DATA / "assets"
