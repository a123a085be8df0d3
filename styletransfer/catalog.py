"""All styles there are to choose from: of the packs that ship and of those that arrive later, each loaded when used."""

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from styletransfer.errors import InputError
from styletransfer.models.generator import Share, blended
from styletransfer.packs.folder import pack_notes, pack_styles, sample_path
from styletransfer.paths import SHIPPED_PACK
from styletransfer.pipeline import StyleTransferPipeline, check_mix

PACK_VARIABLE = "STYLETRANSFER_PACK"  # names the folder of another pack to show
KEPT_PACKS = 32  # in memory at a time, a few megabytes each
KEPT_BLENDS = 4  # mixes over several packs, each a network of its own
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
    load: Callable[[], StyleTransferPipeline]  # raises InputError
    styles: tuple[StyleCard, ...]
    is_local: bool = True  # loading it asks nobody for anything


class Catalog:
    """Styles by key, in the order in which their packs came; safe to use from any thread.

    Args:
        kept: how many packs stay in memory; the one that was not used for longest goes first.
    """

    def __init__(self, kept: int = KEPT_PACKS) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._entries: dict[str, PackEntry] = {}
        self._loaded: OrderedDict[str, StyleTransferPipeline] = OrderedDict()
        self._blended: OrderedDict[tuple[tuple[str, float], ...], StyleTransferPipeline] = OrderedDict()
        self._loading: dict[str, threading.Lock] = {}
        self._notes: dict[str, str] = {}
        self.version = 0  # grows with every change, for those who look again now and then
        self.is_watching = False  # whether packs may still come

    def add(self, entry: PackEntry) -> None:
        """Offer a pack's styles; a pack of the same id gives way to it."""
        with self._lock:
            self._entries[entry.id] = entry
            self._loaded.pop(entry.id, None)
            self._blended.clear()
            self._notes.pop(entry.id, None)
            self.version += 1

    def note_failure(self, pack: str, reason: str) -> None:
        """Keep one sentence about what a pack, or a place that packs come from, is missing for."""
        with self._lock:
            if self._notes.get(pack) == reason:
                return
            self._notes[pack] = reason
            self.version += 1
        _log.warning("%s: %s", pack, reason)

    def forget_failure(self, pack: str) -> None:
        """Take the note away again."""
        with self._lock:
            if self._notes.pop(pack, None):
                self.version += 1

    @property
    def notes(self) -> tuple[str, ...]:
        """One sentence for each pack that could not be offered or loaded."""
        with self._lock:
            return tuple(self._notes.values())

    @property
    def styles(self) -> dict[str, StyleCard]:
        """Key -> card of every style."""
        with self._lock:
            return {card.key: card for entry in self._entries.values() for card in entry.styles}

    def card(self, key: str) -> StyleCard:
        """The card of a style; raises InputError where there is none."""
        known = self.styles
        if key not in known:
            raise InputError(f"There is no style {key!r}: choose from {', '.join(known)}.")
        return known[key]

    def at_hand(self) -> list[str]:
        """The keys of the styles that can be painted without the network: of local packs, and of loaded ones."""
        with self._lock:
            entries = [entry for entry in self._entries.values() if entry.is_local or entry.id in self._loaded]
            return [card.key for entry in entries for card in entry.styles]

    def pipeline(self, mix: Mapping[str, float]) -> tuple[StyleTransferPipeline, dict[str, float]]:
        """The pipeline for a mix of style keys, and the mix by the names it knows.

        Styles of several packs mix by the weights of their networks, see `generator.blended`.

        Raises:
            InputError: an unknown key, a pack that cannot be loaded, or packs whose networks cannot be blended.
        """
        cards = [self.card(key) for key in mix]
        if len({card.pack for card in cards}) == 1:
            return self._load(cards[0].pack), {card.name: mix[card.key] for card in cards}
        check_mix(mix)
        cards = [card for card in cards if mix[card.key]]
        shares = tuple((card.key, float(mix[card.key])) for card in cards)
        with self._lock:
            if shares in self._blended:
                self._blended.move_to_end(shares)
                return self._blended[shares], dict(shares)
        pipeline = self._blend(cards, shares)
        with self._lock:
            self._blended[shares] = pipeline
            while len(self._blended) > KEPT_BLENDS:
                self._blended.popitem(last=False)
        return pipeline, dict(shares)

    def _blend(self, cards: Sequence[StyleCard], shares: Sequence[tuple[str, float]]) -> StyleTransferPipeline:
        pipelines = [self._load(card.pack) for card in cards]
        try:
            generator = blended(
                [
                    Share(one.generator, card.name, card.key, weight)
                    for one, card, (_, weight) in zip(pipelines, cards, shares, strict=True)
                ]
            )
        except ValueError as error:
            titles = " and ".join(card.title for card in cards)
            raise InputError(f"{titles} do not mix: choose styles that were trained on from one network.") from error
        return StyleTransferPipeline(generator, device=pipelines[0].device, dtype=pipelines[0].dtype)

    def _load(self, pack: str) -> StyleTransferPipeline:
        with self._lock:
            entry, loading = self._entries[pack], self._loading.setdefault(pack, threading.Lock())
        with loading:  # visitors of other packs need not wait for this one
            with self._lock:
                if pack in self._loaded:
                    self._loaded.move_to_end(pack)
                    return self._loaded[pack]
            try:
                pipeline = entry.load()
            except InputError as error:
                self.note_failure(pack, str(error))
                raise
            with self._lock:
                self._loaded[pack] = pipeline
                while len(self._loaded) > self._kept:
                    self._loaded.popitem(last=False)
                if self._notes.pop(pack, None):
                    self.version += 1
            return pipeline


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
        for name, title in pack_styles(folder).items()
    ]
    return PackEntry(folder.name, lambda: StyleTransferPipeline.from_pretrained(folder), tuple(cards))


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
            reasons.append(str(error))
            catalog.note_failure(path.name, str(error))
    if not catalog.styles:
        raise InputError(reasons[0] if reasons else f"There is no style pack in {folder}: put one there.")
    return catalog


def chosen_catalog(environment: Mapping[str, str] = os.environ) -> Catalog:
    """The catalog of the packs that ship, or of the one folder that STYLETRANSFER_PACK names; errors as there."""
    named = environment.get(PACK_VARIABLE)
    if not named:
        return shipped_catalog()
    catalog = Catalog()
    catalog.add(folder_entry(Path(named)))
    return catalog
