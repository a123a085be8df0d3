"""Errors of the Hub's client: retried where that may help, else turned into one sentence for the user."""

import errno
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from huggingface_hub import constants, errors, get_session
from huggingface_hub.errors import HTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from styletransfer.errors import InputError

LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
ATTEMPTS = 5
FIRST_WAIT = 1.0  # seconds before the second attempt; doubled before each further one
SLOWER_TO_WRITE = 6  # the time limit of a request that changes something, in time limits of a download
MAX_WAIT = 60.0  # seconds, also where the server asks for a longer wait

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


@contextmanager
def told_plainly(what: str, *, cached: bool = False) -> Iterator[None]:
    """Turn whatever the Hub's client raises inside into an InputError.

    Args:
        what: names the repository.
        cached: without a network, a copy in the cache would have served.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        kinds = OSError | ValueError | TypeError | KeyError
        if not (isinstance(_root(error), kinds) or _is_transport_error(_root(error))):
            raise
        raise InputError(sentence(error, what, cached=cached)) from error


def is_passing(error: BaseException) -> bool:
    """Whether the same request may succeed later: no network, a busy or failing server, a broken connection."""
    status = _status(error)
    if status is not None:
        return status in (408, 412, 429) or status >= 500  # 412: somebody else committed meanwhile
    return _is_transport_error(_root(error))


def patiently(step: Callable[[], _T]) -> _T:
    """Run a step that may be run twice, and retry it while it fails for a reason that may pass; raises as the step."""
    _end_endless_waits()
    for attempt in itertools.count(1):
        try:
            return step()
        except Exception as error:
            if attempt == ATTEMPTS or not is_passing(error) or isinstance(error, OfflineModeIsEnabled):
                raise
            asked = _wait_asked_for(error)
            wait = FIRST_WAIT * 2 ** (attempt - 1) if asked is None else asked
            _log.warning("The Hub does not answer (attempt %d of %d): waiting %.0f s.", attempt, ATTEMPTS, wait)
            time.sleep(wait)
    raise AssertionError("unreachable")


def _end_endless_waits() -> None:
    """Set a time limit where the client has none: a server that stops answering would block a push for ever."""
    session = get_session()
    if session.timeout.read is None:
        session.timeout = SLOWER_TO_WRITE * constants.HF_HUB_DOWNLOAD_TIMEOUT


def _wait_asked_for(error: BaseException) -> float | None:
    """Seconds that the server asked to wait (Retry-After), at most MAX_WAIT; None when it did not ask."""
    response = getattr(_root(error), "response", None)
    text = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(text), MAX_WAIT) if text.isascii() and text.isdigit() else None


def sentence(error: BaseException, what: str, *, cached: bool = False) -> str:
    """What is wrong, and what to do about it; the arguments are those of `told_plainly`."""
    error = _root(error)
    kinds = (  # the first that fits counts: the error for a gated repository is also one for a missing repository
        (errors.OfflineModeIsEnabled, _offline_sentence(what, cached)),
        (errors.GatedRepoError, f"{what} is gated: request access on its page on the Hub, then {LOG_IN}."),
        (errors.RepositoryNotFoundError, f"The Hub has no {what}, or it is private: check the name, or {LOG_IN}."),
        (errors.RevisionNotFoundError, f"The Hub has no {what}: its repository has no such revision."),
        (errors.EntryNotFoundError, f"A file of {what} is missing on the Hub: ask its author to push it again."),
        (errors.HFValidationError, f"{what} is not a valid repository name: write org/name or org/name@revision."),
    )
    for kind, text in kinds:
        if isinstance(error, kind):
            return text
    status = _status(error)
    if status is not None:
        return _status_sentence(status, what, getattr(error, "server_message", None))
    if _is_transport_error(error):
        return f"The Hub could not be reached for {what}: check the network and try again."
    if isinstance(error, ValueError) and str(error).startswith("Invalid metadata in README.md"):
        return f"The Hub refuses the metadata in README.md for {what}: {_one_line(str(error).partition('- ')[2])}."
    if isinstance(error, OSError) and error.errno is not None:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return f"{what} cannot be stored here: {reason}."
    if isinstance(error, OSError):
        return f"{what} was not downloaded completely: try again."
    return f"The Hub's answer about {what} cannot be read ({type(error).__name__}): try again later."


def _offline_sentence(what: str, cached: bool) -> str:
    if cached:
        return f"{what} is not in the cache and HF_HUB_OFFLINE is set: download it once without HF_HUB_OFFLINE."
    return f"HF_HUB_OFFLINE is set, so that the Hub cannot be reached for {what}: unset it and try again."


def _status_sentence(status: int, what: str, said: str | None) -> str:
    reason = f" ({_one_line(said)})" if said else ""
    if status == 401:
        return f"The Hub does not accept your token for {what}: {LOG_IN} again."
    if status == 403:
        return f"Your token does not allow this with {what}{reason}: use one with access, write access for a push."
    if status == 429:
        return f"The Hub received too many requests from here, the last for {what}: wait a few minutes and try again."
    if status >= 500:
        return f"The Hub failed on {what} (error {status}): try again later."
    return f"The Hub refused {what} (error {status}){reason}: check its name and your rights."


def _one_line(text: str) -> str:
    """A server's message, shortened and cleaned to fit into a sentence."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:200].rstrip(".")


def _root(error: BaseException) -> BaseException:
    """The cause of an error that does not say itself what went wrong."""
    while (isinstance(error, LocalEntryNotFoundError) or type(error) is RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _status(error: BaseException) -> int | None:
    return getattr(getattr(_root(error), "response", None), "status_code", None)


def _is_transport_error(error: BaseException) -> bool:
    return isinstance(error, HTTPError | ConnectionError | TimeoutError | LocalEntryNotFoundError)
