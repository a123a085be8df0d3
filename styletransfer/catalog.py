"""All styles there are to choose from: of the packs that ship and of those that arrive later, each loaded when used."""

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from cachetools import LRUCache

from styletransfer.errors import InputError, Sentence
from styletransfer.hub.errors import is_passing
from styletransfer.models.generator import Share, blended
from styletransfer.packs.folder import load_pack, pack_notes, pack_styles, sample_path
from styletransfer.painter import OverlaidPainter, Painter, no_style, place_of
from styletransfer.paths import SHIPPED_PACK
from styletransfer.settings import PaintSettings

PACK_VARIABLE = "STYLETRANSFER_PACK"  # names the folder of another pack to show
KEPT_PACKS = 32  # in memory at a time, a few megabytes each
KEPT_MIXES = 4  # over several packs, each a network of its own
MAX_NOTE = 300  # characters of what a card says of a painting

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StyleCard:
    """What there is to see of a style before it is loaded; every text in it may be a stranger's."""

    key: str  # one of a kind in the catalog: the style's name, with its pack before it where that is needed
    name: str  # in its pack
    title: str
    pack: str  # the pack's id
    note: str = ""  # painter, painting, year
    sample: Path | None = None
    source: str = ""  # where a visitor of the page would load the pack from


@dataclass(frozen=True)
class PackEntry:
    """A pack that can be loaded."""

    id: str  # folder name, or org/name
    load: Callable[..., Painter]  # of device, dtype and backend, where the catalog has them; raises InputError
    styles: tuple[StyleCard, ...]
    folder: Path | None = None  # where it lies, of a local one
    is_local: bool = True  # loading it asks nobody for anything
    is_listed: bool = True  # else only who knows the keys of its styles can use them


class Catalog:
    """Styles by key, in the order in which their packs came; safe to use from any thread.

    Args:
        kept: how many packs stay in memory; the one that was not used for longest goes first.
    """

    def __init__(self, kept: int = KEPT_PACKS) -> None:
        self._lock = threading.Lock()
        self._entries: dict[str, PackEntry] = {}
        self._loaded: LRUCache[str, Painter] = LRUCache(kept)
        self._mixed: LRUCache[tuple[tuple[str, float], ...], Painter] = LRUCache(KEPT_MIXES)
        self._loading: dict[str, threading.Lock] = {}
        self._notes: dict[str, Sentence] = {}
        self._place: dict[str, Any] = {}  # device and dtype, where they are not the fastest there are
        self.version = 0  # grows with every change, for those who look again now and then
        self.is_watching = False  # whether packs may still come

    def add(self, entry: PackEntry) -> None:
        """Offer a pack's styles; a pack of the same id gives way to it."""
        with self._lock:
            self._entries[entry.id] = entry
            self._loaded.pop(entry.id, None)
            self._mixed.clear()
            self._notes.pop(entry.id, None)
            self.version += entry.is_listed

    def remove(self, pack: str) -> None:
        """Offer a pack no longer; nothing happens where it is not there."""
        with self._lock:
            entry = self._entries.pop(pack, None)
            self._loaded.pop(pack, None)
            self._loading.pop(pack, None)
            self._mixed.clear()
            self.version += entry is not None and entry.is_listed

    def note_failure(self, pack: str, reason: str) -> None:
        """Keep one sentence about what a pack, or a place that packs come from, is missing for."""
        with self._lock:
            if self._notes.get(pack) == reason:
                return
            self._notes[pack] = reason if isinstance(reason, Sentence) else Sentence(reason)
            self.version += 1
        _log.warning("%s: %s", pack, reason)

    def forget_failure(self, pack: str) -> None:
        """Take the note away again."""
        with self._lock:
            if self._notes.pop(pack, None):
                self.version += 1

    @property
    def notes(self) -> tuple[Sentence, ...]:
        """One sentence for each pack that could not be offered or loaded."""
        with self._lock:
            return tuple(self._notes.values())

    @property
    def styles(self) -> dict[str, StyleCard]:
        """Key -> card of every style that is listed."""
        with self._lock:
            listed = [entry for entry in self._entries.values() if entry.is_listed]
            return {card.key: card for entry in listed for card in entry.styles}

    def card(self, key: str) -> StyleCard:
        """The card of a style, listed or not; raises InputError where there is none."""
        with self._lock:
            known = {card.key: card for entry in self._entries.values() for card in entry.styles}
        if key not in known:
            raise no_style(key, self.styles)
        return known[key]

    @property
    def entries(self) -> tuple[PackEntry, ...]:
        """All packs, in their order."""
        with self._lock:
            return tuple(self._entries.values())

    def at_hand(self) -> list[str]:
        """The keys of the styles that can be painted without the network: of local packs, and of loaded ones."""
        with self._lock:
            listed = [entry for entry in self._entries.values() if entry.is_listed]
            entries = [entry for entry in listed if entry.is_local or entry.id in self._loaded]
            return [card.key for entry in entries for card in entry.styles]

    def pipeline(self, mix: Mapping[str, float]) -> tuple[Painter, dict[str, float]]:
        """The painter for a mix of style keys, and the mix by the names it knows.

        Styles of several packs mix by the weights of their networks, see `generator.blended`, where these were trained
        on from one; else their paintings are laid over one another, see `OverlaidPainter`.

        Args:
            mix: key -> share, as `PaintSettings` has them.

        Raises:
            InputError: shares that are none, an unknown key, or a pack that cannot be loaded.
        """
        mix = PaintSettings(mix).mix
        cards = [self.card(key) for key in mix]
        if len({card.pack for card in cards}) == 1:
            return self._load(cards[0].pack), {card.name: mix[card.key] for card in cards}
        cards = [card for card in cards if mix[card.key]]
        if len(cards) == 1:
            return self._load(cards[0].pack), {cards[0].name: mix[cards[0].key]}
        shares = {card.key: mix[card.key] for card in cards}
        with self._lock:
            painter = self._mixed.get(tuple(shares.items()))
        if painter is None:
            painter = self._mix(cards, shares)
            with self._lock:
                self._mixed[tuple(shares.items())] = painter
        return painter, shares

    def move(
        self, device: str | torch.device | None = None, dtype: torch.dtype | None = None, backend: str = "torch"
    ) -> tuple[torch.device, torch.dtype]:
        """Load all packs from here on for this device and dtype, where given; returns those that are used.

        Raises:
            InputError: an unknown backend, or a device or dtype that it does not have.
        """
        given = {"device": device, "dtype": dtype, "backend": backend}
        place = self._place | {name: value for name, value in given.items() if value}
        used = place_of(**place)
        with self._lock:
            self._place = place
            self._loaded.clear()
            self._mixed.clear()
        return used

    def _mix(self, cards: Sequence[StyleCard], shares: Mapping[str, float]) -> Painter:
        painters = {card.key: self._load(card.pack) for card in cards}
        parts = [Share(painters[card.key].generator, card.name, card.key, shares[card.key]) for card in cards]
        try:
            generator = blended(parts)
        except ValueError:  # trained apart
            return OverlaidPainter({card.key: (painters[card.key], card.name) for card in cards})
        first = painters[cards[0].key]
        return Painter(generator, device=first.device, dtype=first.dtype, backend=first.backend)

    def _load(self, pack: str) -> Painter:
        with self._lock:
            entry, loading = self._entries.get(pack), self._loading.setdefault(pack, threading.Lock())
        with loading:  # visitors of other packs need not wait for this one
            with self._lock:
                if pack in self._loaded:
                    return self._loaded[pack]
                if entry is None or self._entries.get(pack) is not entry:  # withdrawn while we waited
                    raise InputError(
                        self._notes.get(pack) or Sentence("The pack {pack} has changed: try again.", pack=pack)
                    )
            try:
                painter = entry.load(**self._place)
            except InputError as error:
                self._withdraw(entry, error)
                raise
            with self._lock:
                self._loaded[pack] = painter
                if self._notes.pop(pack, None):
                    self.version += 1
            return painter

    def _withdraw(self, entry: PackEntry, error: InputError) -> None:
        """Note why a pack failed; unless it may work the next time, its styles are offered no longer."""
        self.note_failure(entry.id, error.sentence)
        if is_passing(error.__cause__ or error):
            return
        with self._lock:
            if self._entries.get(entry.id) is entry:
                del self._entries[entry.id]
                self.version += 1


def folder_entry(folder: Path, taken: Sequence[str] = ()) -> PackEntry:
    """The entry of a pack in a folder, read from its config and recipe; raises InputError if they are not sound.

    Args:
        folder: the pack.
        taken: keys of other packs; a style whose name is among them gets its pack's name before it.
    """
    notes = {name: " ".join(note.split())[:MAX_NOTE] for name, note in pack_notes(folder).items()}
    cards = [
        StyleCard(
            key=f"{folder.name}:{name}" if name in taken else name,
            name=name,
            title=title,
            pack=folder.name,
            note=notes.get(name, ""),
            sample=sample_path(folder, name),
            source=f"{folder.parent.name}/{folder.name}",  # visitors need not know where this machine keeps it
        )
        for name, title in pack_styles(folder, folder.name).items()
    ]
    return PackEntry(folder.name, partial(_load, folder), tuple(cards), folder)


def _load(folder: Path, **place: Any) -> Painter:
    return Painter(load_pack(folder, folder.name), folder=folder, **place)


def shipped_catalog(
    folder: Path = SHIPPED_PACK.parent, first: str = SHIPPED_PACK.name, kept: int = KEPT_PACKS
) -> Catalog:
    """The catalog of every pack in a folder of packs, the one named `first` before the others.

    A pack that cannot be read is left out with a note.

    Raises:
        InputError: there is no pack that can be read.
    """
    catalog, reasons = Catalog(kept), []
    folders = [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    for path in sorted(folders, key=lambda path: (path.name != first, path.name)):
        try:
            catalog.add(folder_entry(path, list(catalog.styles)))
        except InputError as error:
            reasons.append(error.sentence)
            catalog.note_failure(path.name, error.sentence)
    if not catalog.styles:
        nothing = Sentence("There is no style pack in {folder}: put one there.", folder=folder)
        raise InputError(reasons[0] if reasons else nothing)
    return catalog


def chosen_catalog(environment: Mapping[str, str] = os.environ) -> Catalog:
    """The catalog of the packs that ship, or of the one folder that STYLETRANSFER_PACK names; errors as there."""
    named = environment.get(PACK_VARIABLE)
    if not named:
        return shipped_catalog()
    catalog = Catalog()
    catalog.add(folder_entry(Path(named)))
    return catalog
