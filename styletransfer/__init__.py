"""Photo in, painting out: GAN style transfer from a Hub dataset to the browser."""

from typing import TYPE_CHECKING

from styletransfer.paths import __version__

__all__ = ["StyleTransferPipeline", "__version__"]

if TYPE_CHECKING:
    from styletransfer.pipeline import StyleTransferPipeline


def __getattr__(name: str) -> object:
    """Import the pipeline when it is asked for: importing a room of this house must not open all the others."""
    if name == "StyleTransferPipeline":
        from styletransfer.pipeline import StyleTransferPipeline

        return StyleTransferPipeline
    raise AttributeError(f"module 'styletransfer' has no attribute {name!r}")
