"""A GPU for the moment of painting, on Spaces that lend one (ZeroGPU); everywhere else nothing changes.

The package `spaces` is there on such Spaces and nowhere else. What it decorates runs in a process of its own: arguments
and results travel as pickles, of errors only gr.Error arrives as it was, and the visitor's request stays behind.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from styletransfer.page.language import speaking, visitors_language

# The events that run a network.
PAINTING = ("follow", "preview", "paint", "take_home", "paint_all", "every_style", "explain")


@functools.cache
def gpu_decorator() -> Callable[..., Any] | None:
    """`spaces.GPU` where the package is; None elsewhere.

    To be asked first before any network is loaded: importing the package is what makes the main process place
    networks for a GPU that it does not have.
    """
    try:
        import spaces
    except ImportError:
        return None
    return spaces.GPU


def lend_gpu(events: Any) -> Any:
    """The events, those that paint with the GPU's decorator if there is one."""
    decorate = gpu_decorator()
    for name in PAINTING if decorate else ():
        setattr(events, name, _on_gpu(getattr(events, name), decorate))
    return events


def _on_gpu(event: Callable[..., Any], decorate: Callable[..., Any]) -> Callable[..., Any]:
    """The event on the GPU; the visitor's language goes along, since the request does not."""
    if not inspect.isgeneratorfunction(event):

        @functools.wraps(event)
        def once(language: str, *arguments: Any) -> Any:
            with speaking(language):
                return event(*arguments)

        lent = decorate(once)
        return functools.wraps(event)(lambda *arguments: lent(visitors_language(), *arguments))

    @functools.wraps(event)
    def steps(language: str, *arguments: Any) -> Iterator[Any]:
        results = event(*arguments)
        while True:
            with speaking(language):
                try:
                    result = next(results)
                except StopIteration:
                    return
            yield result

    lent_steps = decorate(steps)

    @functools.wraps(event)
    def stepwise(*arguments: Any) -> Iterator[Any]:
        yield from lent_steps(visitors_language(), *arguments)

    return stepwise
