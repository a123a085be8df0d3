"""What can go wrong between here and the Hub: tried again where that may help, else one sentence for the user."""

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
SLOWER_TO_WRITE = 6  # times as long as for a download may an answer take to a request that changes something
MAX_WAIT = 60.0  # seconds; a server may ask for more patience than a user has

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
    """Whether the same request may succeed later: no network, a busy or broken server, a cut connection."""
    status = _status(error)
    if status is not None:
        return status in (408, 412, 429) or status >= 500  # 412: somebody else committed meanwhile
    return _is_transport_error(_root(error))


def patiently(step: Callable[[], _T]) -> _T:
    """Do a step that may be done twice, and again while it fails of something that may pass."""
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
    """Give requests an end where the client has none: a server that falls silent would hold a push for ever."""
    session = get_session()
    if session.timeout.read is None:
        session.timeout = SLOWER_TO_WRITE * constants.HF_HUB_DOWNLOAD_TIMEOUT


def _wait_asked_for(error: BaseException) -> float | None:
    """Seconds that the server asked to wait (Retry-After), bounded; None when it did not."""
    response = getattr(_root(error), "response", None)
    text = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(text), MAX_WAIT) if text.isascii() and text.isdigit() else None


def sentence(error: BaseException, what: str, *, cached: bool = False) -> str:
    """What is wrong, and what to do about it; the arguments are those of `told_plainly`."""
    error = _root(error)
    kinds = (  # the first that fits: gated is a kind of not found
        (errors.OfflineModeIsEnabled, _offline_sentence(what, cached)),
        (errors.GatedRepoError, f"{what} is gated: ask for access on its page on the Hub, then {LOG_IN}."),
        (errors.RepositoryNotFoundError, f"The Hub has no {what}, or it is private: check the name, or {LOG_IN}."),
        (errors.RevisionNotFoundError, f"The Hub has no {what}: its repository has no such revision."),
        (errors.EntryNotFoundError, f"A file of {what} is missing on the Hub: ask its author to push it again."),
        (errors.HFValidationError, f"{what} is no name of a repository: write org/name or org/name@revision."),
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
        return f"The Hub does not take the top of README.md for {what}: {_one_line(str(error).partition('- ')[2])}."
    if isinstance(error, OSError) and error.errno is not None:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        return f"{what} cannot be stored here: {reason}."
    if isinstance(error, OSError):
        return f"{what} did not arrive whole: try again."
    return f"What the Hub says about {what} cannot be read ({type(error).__name__}): try again later."


def _offline_sentence(what: str, cached: bool) -> str:
    if cached:
        return f"{what} is not in the cache and HF_HUB_OFFLINE is set: fetch it once without."
    return f"HF_HUB_OFFLINE is set, so that the Hub cannot be reached for {what}: unset it and try again."


def _status_sentence(status: int, what: str, said: str | None) -> str:
    reason = f" ({_one_line(said)})" if said else ""
    if status == 401:
        return f"The Hub does not accept your token for {what}: {LOG_IN} anew."
    if status == 403:
        return f"The Hub does not allow this with {what}{reason}: use a token that has the right, to push write access."
    if status == 429:
        return f"The Hub has had too many requests from here, {what} among them: wait a few minutes and try again."
    if status >= 500:
        return f"The Hub failed on {what} (error {status}): try again later."
    return f"The Hub refused {what} (error {status}){reason}: check its name and your rights."


def _one_line(text: str) -> str:
    """What a server said, fit to stand inside a sentence."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())[:200].rstrip(".")


def _root(error: BaseException) -> BaseException:
    """The error behind those that say nothing of what went wrong: "not in the cache either", "while uploading"."""
    while (isinstance(error, LocalEntryNotFoundError) or type(error) is RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _status(error: BaseException) -> int | None:
    return getattr(getattr(_root(error), "response", None), "status_code", None)


def _is_transport_error(error: BaseException) -> bool:
    return isinstance(error, HTTPError | ConnectionError | TimeoutError | LocalEntryNotFoundError)
