"""What happens on the page, as named functions: settings in as the browser sent them, pictures and sentences out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from cachetools import LRUCache
from PIL import Image

from styletransfer.catalog import Catalog, StyleCard
from styletransfer.errors import InputError
from styletransfer.page.api import curl_call, python_call, shell_call
from styletransfer.page.language import (
    about,
    in_language,
    print_hint,
    reading_numbers,
    reading_words,
    report,
    say,
    sentence,
    told,
    visitors_title,
)
from styletransfer.page.look import QuietPreviews, card_pictures
from styletransfer.page.progress import passing, shown_steps, unchanged
from styletransfer.page.requests import (
    Asked,
    File,
    archive_of,
    drawn_mask,
    new_folder,
    save_preview,
    uploaded,
)
from styletransfer.page.server import example_photo
from styletransfer.page.studio import Shown, Studio
from styletransfer.paths import SHIPPED_PACK
from styletransfer.settings import PaintSettings

NO_STYLE = ("–", "")
MANY = 20  # styles, above which a field to search them is worth its place
KEPT_PHOTOS = 64
MASK_SIDE = 512  # pixels of the photo to draw on: its edge is softened anyway, and browsers send it at every stroke


class Events:
    """The events of a page over one studio. A fault of the visitor's is shown beside the button, in one sentence."""

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self._photos: LRUCache[Path, str] = LRUCache(KEPT_PHOTOS)  # upload -> its picture on the screen
        self._previews = QuietPreviews(studio)

    def follow(self, photo: File | None, *settings: Any) -> Iterator[tuple[Any, ...]]:
        """Show photo and painting at screen size, to be downloaded; those of the example while there is no photo."""
        try:
            if photo:
                yield *self._preview(photo, *settings), gr.Button(interactive=True)
            else:
                yield *self._example(*settings), gr.Button(interactive=False)
        except InputError as error:
            yield None, sentence(error), gr.Button(interactive=False)
            raise told(error) from error

    def preview(self, photo: File | None, *settings: Any) -> Iterator[tuple[Any, ...]]:
        """Paint a photo at screen size, quickly: returns photo and painting side by side, and a line about them."""
        if photo:
            yield from self.follow(photo, *settings)
            return
        error = InputError("There is no {what} yet: add one first.", what="photo")
        yield None, sentence(error), gr.Button(interactive=False)
        raise told(error)

    def paint(self, photo: File | None, *settings: Any) -> Iterator[Any]:
        """Paint a photo at its full size: returns the painting's file, settings inside, and a line about it."""
        try:
            file, asked = uploaded(photo), Asked(*settings)
            yield from self._paint(file, asked.settings(), asked.file_format)
        except InputError as error:
            raise told(error) from error

    def take_home(self, photo: File | None, *settings: Any) -> Iterator[Any]:
        """As `paint`, with the canvas as it is at this moment in place of a mask."""
        try:
            file, asked = uploaded(photo), Asked(*settings)
            plain = asked._replace(mask=None).settings()
            yield from self._paint(file, replace(plain, mask=drawn_mask(asked.mask)), asked.file_format)
        except InputError as error:
            raise told(error) from error

    def paint_all(self, photos: list[File] | None, *settings: Any) -> Iterator[Any]:
        """Paint several photos with the same settings: returns a zip of the paintings and a report, one line each."""
        try:
            files = [uploaded(photo) for photo in photos or []]
            if not files:
                raise InputError("There are no photos yet: add some first.")
            asked, lines, painted = Asked(*settings), [], []
            for outcome in self.studio.paint_all(files, asked.settings(), new_folder(), asked.file_format):
                if isinstance(outcome, float):
                    gr.Progress()((len(lines) + outcome) / len(files), desc=f"{len(lines) + 1} / {len(files)}")
                    yield unchanged(3)
                    continue
                name = files[len(lines)].name
                painted += [str(outcome)] if isinstance(outcome, Path) else []
                lines.append(f"✓ {name}" if isinstance(outcome, Path) else f"✗ {name}: {sentence(outcome)}")
                yield None, report(lines), (painted, lines, len(files))
            yield archive_of(painted), report([*lines, f"{len(painted)} / {len(files)}"]), None
        except InputError as error:
            yield None, report([sentence(error)]), None
            raise told(error) from error

    def cancelled(self, several: tuple[list[str], list[str], int] | None) -> tuple[Any, ...]:
        """Say that the work was cancelled; of several photos, hand out those that are finished."""
        if not several:
            return passing(say("Cancelled: the photo and all settings are as they were.")), gr.skip(), gr.skip(), None
        painted, lines, photos = several
        ending = say("Cancelled: {painted} of {photos} photos are painted.", painted=len(painted), photos=photos)
        return passing(ending), archive_of(painted), report([*lines, ending]), None

    def explain(self, wanted: bool, photo: File | None, *settings: Any) -> tuple[str, Any, Any, str]:
        """If wanted: the painting on the screen in words, where it departs most, where it is doubted, and numbers."""
        nothing = "", *(gr.Image(value=None, visible=False) for _ in range(2)), ""
        if not wanted or not photo:
            return nothing
        try:
            file = uploaded(photo)
            explained = self.studio.explain(file, Asked(*settings).settings())
        except InputError:  # it has been said beside the photo
            return nothing
        pictures = {"departures": explained.departs, "doubts": explained.doubted}
        overlays = (
            gr.Image(value=picture and save_preview(picture, f"{file.stem[:60]}-{name}"), visible=picture is not None)
            for name, picture in pictures.items()
        )
        return reading_words(explained.reading), *overlays, reading_numbers(explained.reading)

    def every_style(self, photo: File | None) -> Any:
        """Put the visitor's own photo on the style cards, painted small in each of them; the samples without one."""
        try:
            previews = self._previews.of(uploaded(photo)) if photo else {}
        except InputError:  # it has been said beside the photo
            return gr.skip()
        return gr.skip() if previews is None else card_pictures(self.studio.catalog.styles, previews)

    def styles(self) -> dict[str, Any]:
        """List the styles: key, title, note and pack of each, and the packs that are missing, with the reason."""
        catalog = self.studio.catalog
        cards = [
            {"key": card.key, "title": card.title, "note": card.note, "pack": card.pack}
            for card in catalog.styles.values()
        ]
        return {"styles": cards, "notes": [in_language(note) for note in catalog.notes]}

    def refresh(self, seen: int, own: str | None = None) -> tuple[Any, ...]:
        """Offer the styles of packs that have come since the page last looked, and say which packs are missing.

        Args:
            seen: the catalog's version at that time.
            own: key of a style that this visitor alone is offered.
        """
        catalog = self.studio.catalog
        version = catalog.version
        if version == seen:
            return tuple(gr.skip() for _ in range(7))
        offered = choices(catalog, own)
        second, third = (gr.Dropdown(choices=[NO_STYLE, *offered]) for _ in range(2))
        notes = gr.HTML(notes_of(catalog), visible=bool(catalog.notes))
        search = gr.Textbox(visible=len(offered) > MANY)
        return gr.Radio(choices=offered), card_pictures(catalog.styles), search, second, third, notes, version

    def mask_of(self, canvas: dict[str, Any] | None) -> str | None:
        """What was drawn over the photo as the file of a mask; None for nothing drawn."""
        mask = drawn_mask(canvas)
        if mask is None:
            return None
        file = new_folder() / "mask.png"
        mask.save(file)
        return str(file)

    def canvas(self, wanted: bool, photo: File | None) -> tuple[Any, None]:
        """The photo at screen size to draw a mask on, where one is wanted; and no mask yet."""
        if not wanted or not photo:
            return gr.ImageEditor(value=None, visible=False), None
        try:
            shown = self.studio.screen_photo(uploaded(photo))
        except InputError:  # it has been said beside the photo
            return gr.ImageEditor(value=None, visible=False), None
        shown.thumbnail((MASK_SIDE, MASK_SIDE), Image.Resampling.LANCZOS)
        file = save_preview(shown, "photo")
        return gr.ImageEditor(value={"background": file, "layers": [], "composite": None}, visible=True), None

    def calls(self, request: gr.Request, *settings: Any) -> tuple[str, str, str]:
        """The call for the current settings in Python, for curl and for a shell."""
        asked = Asked(*settings[:-1], file_format=settings[-1])  # a mask is nothing to be written into a call
        try:
            checked = asked.settings()
            cards = [self.studio.catalog.card(key) for key in checked.mix]
        except InputError:
            return "", "", ""
        values = asked._asdict()
        address = str(request.request.base_url) if request else ""
        # The command knows all styles that ship by their keys, mixed over their packs, too.
        pack = "" if len({card.source for card in cards}) > 1 or _ships(cards[0]) else cards[0].source
        names = {card.name if pack else card.key: checked.mix[card.key] for card in cards}
        shell = shell_call(replace(checked, style=names), pack)
        return python_call(address, values), curl_call(address, values), shell

    def _preview(self, photo: File, *settings: Any) -> tuple[tuple[str, str], str]:
        file, checked = uploaded(photo), Asked(*settings).settings()
        pictures, shown = self._shown(file, checked)
        told_first = [about(self._titles(checked), shown.full_size), *print_hint(shown.full_size)]
        return pictures, " ".join([*told_first, *map(in_language, shown.notes)])

    def _example(self, *settings: Any) -> tuple[tuple[str, str] | None, str]:
        file, checked = example_photo(), Asked(*settings).settings()
        if file is None:
            return None, ""
        title = self._titles(checked)
        return self._shown(file, checked)[0], say("An example: {title}. Add a photo of yours.", title=title)

    def _shown(self, file: Path, settings: PaintSettings) -> tuple[tuple[str, str], Shown]:
        shown = self.studio.show(file, settings)
        name = f"{file.stem[:60]}-{'+'.join(settings.mix).replace('/', '-').replace(':', '-')}"
        return (self._photo_on_screen(file, shown.before), save_preview(shown.after, name)), shown

    def _photo_on_screen(self, file: Path, photo: Image.Image) -> str:
        """One address for as long as the photo is turned: the browser need not fetch it again."""
        shown = self._photos.get(file)
        if shown is None or not Path(shown).is_file():
            shown = save_preview(photo, f"{file.stem[:60]}-photo")
        self._photos[file] = shown
        return shown

    def _paint(self, file: Path, settings: PaintSettings, file_format: str) -> Iterator[Any]:
        painting = self.studio.paint(file, settings, new_folder(), file_format)
        painted = yield from shown_steps(painting, 2, say("Painting"))
        with Image.open(painted) as image:
            size = image.size
        yield str(painted), about(self._titles(settings), size)

    def _titles(self, settings: PaintSettings) -> str:
        return " + ".join(visitors_title(self.studio.catalog.card(key).title) for key in settings.mix)


def _ships(card: StyleCard) -> bool:
    return card.source == f"{SHIPPED_PACK.parent.name}/{card.pack}"


def notes_of(catalog: Catalog) -> str:
    """The packs that are missing, and why, as HTML."""
    return report([in_language(note) for note in catalog.notes])


def choices(catalog: Catalog, own: str | None = None) -> list[tuple[str, str]]:
    """Title and key of every style, as a component offers them to this visitor, and of the visitor's own one last."""
    offered = [(visitors_title(card.title), key) for key, card in catalog.styles.items()]
    try:
        return [*offered, (catalog.card(own).title, own)] if own else offered
    except InputError:  # taken away after its time
        return offered
