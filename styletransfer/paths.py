"""Where the packs that ship, the example photos and the page's pictures lie: the one place that knows."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent  # of the checkout, or of the Space that was made from one
SHIPPED_PACK = ROOT / "styles" / "starry-night"  # the pack that is used where none is named; the others lie beside it
EXAMPLES = ROOT / "examples"
ASSETS = ROOT / "assets"
