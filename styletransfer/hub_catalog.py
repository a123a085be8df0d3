"""Packs of the Hub for the catalog, as they arrive: found by their cards, shown by their samples, fetched when used."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from styletransfer.catalog import Catalog, PackEntry, StyleCard, folder_entry
from styletransfer.errors import InputError
from styletransfer.hub.errors import told_plainly
from styletransfer.hub.packs import PackInfo, search_packs
from styletransfer.hub.repos import resolve_pack
from styletransfer.packs.contents import MAX_SAMPLE_BYTES, SAMPLES
from styletransfer.packs.folder import load_pack
from styletransfer.painter import Painter

PACKS_VARIABLE = "STYLETRANSFER_PACKS"  # org/a@sha,org/b
AUTHORS_VARIABLE = "STYLETRANSFER_AUTHORS"  # org,other
PRIVATE_VARIABLE = "STYLETRANSFER_PRIVATE"  # 1: the authors' private and unfinished packs, too
PERIOD_VARIABLE = "STYLETRANSFER_HUB_SECONDS"  # between two looks at the Hub
PERIOD = 300.0
MAX_SAMPLES = 32  # pictures fetched of one pack before any of its styles is used

_log = logging.getLogger(__name__)


def watch_hub(catalog: Catalog, environment: Mapping[str, str] = os.environ) -> threading.Thread | None:
    """Look for packs on the Hub now and then, in a thread of its own; None where the environment names none.

    Whoever calls never waits for the network. What fails leaves a note in the catalog, which goes when it works.
    """
    packs, authors = (_list(environment.get(name, "")) for name in (PACKS_VARIABLE, AUTHORS_VARIABLE))
    private = environment.get(PRIVATE_VARIABLE) == "1"
    if not packs and not authors:
        return None
    try:
        period = max(1.0, float(environment.get(PERIOD_VARIABLE) or PERIOD))
    except ValueError:
        raise InputError(
            "{name} must be a number of seconds, not {value}.",
            name=PERIOD_VARIABLE,
            value=repr(environment[PERIOD_VARIABLE]),
        ) from None
    catalog.is_watching = True
    asked = (catalog, packs, authors, private, period)
    thread = threading.Thread(target=_watch, args=asked, daemon=True, name="hub")
    thread.start()
    return thread


def look_once(
    catalog: Catalog, packs: Sequence[str], authors: Sequence[str], known: dict[str, str], private: bool = False
) -> None:
    """Offer all packs that are there and new.

    Args:
        catalog: where they go.
        packs: one by one, `org/name[@revision]`.
        authors: whose packs are offered, as far as they bear our tag, are public, and their training is over.
        known: repository -> commit of what has been offered already; brought up to date. What then failed comes again
            when its commit changes.
        private: whether the authors' private packs are offered, too, and those still in training.
    """
    for author in authors:
        _look(catalog, f"the packs of {author}", lambda author=author: _of_author(author, private), known)
    for pack in packs:
        repo = pack.partition("@")[0]
        if not _look(catalog, f"a look for {repo}", lambda pack=pack: _named(pack), known) and repo not in known:
            _offer_cached(catalog, pack, known)


def _watch(catalog: Catalog, packs: Sequence[str], authors: Sequence[str], private: bool, period: float) -> None:
    known: dict[str, str] = {}
    pause = threading.Event()
    while True:
        try:
            look_once(catalog, packs, authors, known, private)
        except Exception:  # the page goes on without; the next look may see better
            _log.exception("Looking for packs on the Hub failed.")
        pause.wait(period)


def _look(catalog: Catalog, place: str, ask: Callable[[], list[PackInfo]], known: dict[str, str]) -> bool:
    """Offer what one question finds; False, with a note, where it got no answer."""
    try:
        found = ask()
    except InputError as error:
        catalog.note_failure(place, error.sentence)
        return False
    catalog.forget_failure(place)
    for info in found:
        if known.get(info.repo_id) != info.sha:
            catalog.add(_entry(info))
            known[info.repo_id] = info.sha
    return True


def _of_author(author: str, private: bool) -> list[PackInfo]:
    """What an author's card-carrying packs offer to everybody: a page must not show what its owner alone can see."""
    return [info for info in search_packs([author]) if private or (info.is_finished and not info.private)]


def _named(pack: str) -> list[PackInfo]:
    found = search_packs(repos=[pack])
    if not found:
        raise InputError("The pack {pack} is left out: its card names no styles.", pack=pack)
    return found


def _entry(info: PackInfo) -> PackEntry:
    source = f"{info.repo_id}@{info.sha}"  # what was looked at is what is used
    names = list(info.styles)[:MAX_SAMPLES]
    samples = {name: _sample(info, name) for name in names} if info.thumbnail else {}
    cards = (
        StyleCard(f"{info.repo_id}:{name}", name, title, info.repo_id, info.repo_id, samples.get(name), source)
        for name, title in info.styles.items()
    )
    return PackEntry(info.repo_id, partial(_load, source, info.repo_id), tuple(cards), is_local=False)


def _load(source: str, name: str, **place: Any) -> Painter:
    folder = resolve_pack(source)
    return Painter(load_pack(folder, name), folder=folder, **place)


def _sample(info: PackInfo, style: str) -> Path | None:
    """The sample picture of a style, fetched; None where there is none, or none that is small enough."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url

    name = f"{SAMPLES}/{style}.webp"
    try:
        with told_plainly(f"sample of {info.repo_id}"):
            size = get_hf_file_metadata(hf_hub_url(info.repo_id, name, revision=info.sha)).size
            if size is None or size > MAX_SAMPLE_BYTES:
                return None
            return Path(hf_hub_download(info.repo_id, name, revision=info.sha))
    except InputError as error:
        _log.info("%s", error)
        return None


def _offer_cached(catalog: Catalog, pack: str, known: dict[str, str]) -> None:
    """Without an answer from the Hub, offer the copy that was fetched before, if there is one."""
    repo = pack.partition("@")[0]
    try:
        entry = folder_entry(resolve_pack(pack))
    except InputError:
        return  # why the Hub did not answer is noted already
    cards = tuple(
        StyleCard(f"{repo}:{card.name}", card.name, card.title, repo, card.note, card.sample, repo)
        for card in entry.styles
    )
    catalog.add(PackEntry(repo, partial(_load, pack, repo), cards))
    known[repo] = ""


def _list(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
