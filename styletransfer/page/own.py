"""A visitor's own painting as a style: learned while they watch, seen by nobody else, gone after their visit."""

import html
import os
import re
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from styletransfer.catalog import PACK_VARIABLE, Catalog, folder_entry
from styletransfer.errors import InputError
from styletransfer.learning.apart import Word, Workshop
from styletransfer.learning.paintings import prepare_painting
from styletransfer.learning.recipe import NetworkWeights
from styletransfer.page.events import NO_STYLE, choices
from styletransfer.page.language import in_language, say, told
from styletransfer.page.look import swatch
from styletransfer.page.requests import File, files_folder, new_folder, uploaded
from styletransfer.page.studio import Studio, load_limited

OWN_VARIABLE = "STYLETRANSFER_OWN"  # 0: visitors are not offered it
WEIGHTS_VARIABLES = ("STYLE_NETWORK_WEIGHTS", "CONTENT_NETWORK_WEIGHTS", "LPIPS_WEIGHTS")  # STYLETRANSFER_ before them
KEPT_SECONDS = 2 * 3600  # as the page promises of all files
MARK = "own-"  # before the keys of such styles, and the names of their folders
LONGEST_NAME = 40  # characters


@dataclass(frozen=True)
class Own:
    """The components of the section."""

    painting: gr.Image
    says: gr.HTML
    stop: gr.Button
    pack: gr.File
    picture: gr.HTML
    key: gr.State  # of the visitor's style; None without one
    pulse: gr.Number  # changes when the style has become better


class OwnStyles:
    """The styles that visitors have learned, each under a key that nobody can guess; safe to use from any thread.

    Args:
        studio: whose catalog they go into, unlisted.
        workshop: learns them.
    """

    def __init__(self, studio: Studio, workshop: Workshop) -> None:
        self.studio, self.workshop = studio, workshop
        self._lock = threading.Lock()
        self._made: dict[str, tuple[Path, float]] = {}  # key -> folder, when it was begun

    def learn(self, upload: File | None, former: str | None) -> Iterator[tuple[Any, ...]]:
        """Learn a painting; hands out what the section and the styles show, again and again.

        Args:
            upload: of the painting.
            former: key of the style that this one replaces.
        """
        self.sweep()
        key = MARK + secrets.token_hex(16)
        try:
            file = uploaded(upload, "painting")
            painting = load_limited(file, self.studio.limits.max_megapixels, "painting")
            prepared = prepare_painting(painting)
            folder = new_folder() / key
            folder.mkdir()
            prepared.rgb.save(folder / "painting.png")
            with self._lock:
                self._made[key] = (folder, time.monotonic())
            yield from self._learn(key, folder, _title(file), [in_language(note) for note in prepared.notes], former)
        except InputError as error:
            yield _says(in_language(error.sentence)), *_nothing_new(7)
            raise told(error) from error

    def stopped(self, key: str | None) -> str:
        """What the section says after it was stopped."""
        kept = key is not None and key in self._made
        text = say("Stopped: your style stays as it is.") if kept else say("Stopped before there was a style.")
        return _says(text)

    def forget(self, key: str | None) -> None:
        """Take a style and its files away."""
        with self._lock:
            made = self._made.pop(key, None)
        if key and made:
            self.studio.catalog.remove(key)
            shutil.rmtree(made[0].parent, ignore_errors=True)

    def sweep(self, seconds: float = KEPT_SECONDS) -> None:
        """Take away what is older than that, also what an earlier server of the same folder has left behind."""
        with self._lock:
            old = [key for key, (_, begun) in self._made.items() if time.monotonic() - begun > seconds]
            known = {folder for folder, _ in self._made.values()}
        for key in old:
            self.forget(key)
        for folder in files_folder().glob(f"*/{MARK}*"):
            if folder not in known and folder.is_dir() and time.time() - folder.stat().st_mtime > seconds:
                shutil.rmtree(folder.parent, ignore_errors=True)

    def _learn(
        self, key: str, folder: Path, title: str, notes: list[str], former: str | None
    ) -> Iterator[tuple[Any, ...]]:
        name, is_there = _name(title), False
        pack = folder / name
        for word in self.workshop.learn(folder / "painting.png", pack, name, title):
            text = " ".join([_progress(word), *notes])
            if not word.is_better:
                yield _says(text, word.done), *_nothing_new(7)
                continue
            self._offer(key, pack)
            archive = shutil.make_archive(str(pack), "zip", folder, name)
            shown = _offered(self.studio.catalog, key, chosen=not is_there)
            self.forget(None if is_there else former)
            is_there = True
            yield _says(text, word.done), *shown, key, time.time(), gr.File(value=archive, visible=True)
        yield _says(" ".join([say("Learned: {title} is among the styles.", title=title), *notes])), *_nothing_new(7)

    def _offer(self, key: str, pack: Path) -> None:
        entry = folder_entry(pack)
        (card,) = entry.styles
        self.studio.catalog.add(replace(entry, id=key, styles=(replace(card, key=key, pack=key),), is_listed=False))


def build_own(texts: gr.I18n, styles: OwnStyles) -> Own:
    """The section of the page."""
    with gr.Accordion(texts("own"), open=False, elem_id="own"):
        painting = gr.Image(
            type="filepath",
            sources=["upload", "clipboard"],
            label=texts("own_painting"),
            show_label=False,
            buttons=[],
            placeholder=texts("own_hint"),
            elem_id="own-painting",
        )
        says = gr.HTML(elem_id="own-says")
        stop = gr.Button(texts("own_stop"), elem_id="own-stop")
        pack = gr.File(label=texts("own_pack"), interactive=False, visible=False, elem_id="own-pack")
    picture = gr.HTML(elem_id="own-picture")
    key = gr.State(None, time_to_live=KEPT_SECONDS, delete_callback=styles.forget)
    return Own(painting, says, stop, pack, picture, key, gr.Number(visible=False))


def connect_own(own: Own, styles: OwnStyles, radio: gr.Radio, mixed_in: tuple[gr.Dropdown, gr.Dropdown]) -> None:
    """Learn what is dropped, show it among the styles, and let it be stopped.

    Args:
        own: the components.
        styles: learns and keeps the styles.
        radio: of all styles.
        mixed_in: the second style and the third.
    """
    limit = styles.workshop.waiting + 2  # who is one too many is told so at once, and not by Gradio's queue
    learning = own.painting.upload(
        styles.learn,
        [own.painting, own.key],
        [own.says, radio, own.picture, *mixed_in, own.key, own.pulse, own.pack],
        preprocess=False,
        show_progress="hidden",
        concurrency_id="own",
        concurrency_limit=limit,
        api_visibility="private",
    )
    own.stop.click(None, cancels=[learning])
    own.stop.click(styles.stopped, own.key, own.says, queue=False, show_progress="hidden", api_visibility="private")


def is_offered(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether visitors may learn paintings on this server."""
    return environment.get(OWN_VARIABLE, "1") != "0"


def workshop_of(studio: Studio, environment: Mapping[str, str] = os.environ) -> Workshop:
    """The workshop of a server: half of its cores, and files of weights as its environment names them."""
    files = [environment.get(f"STYLETRANSFER_{name}") or None for name in WEIGHTS_VARIABLES]
    limits = studio.limits
    threads = max(1, (os.cpu_count() or 1) // 2)
    base = environment.get(PACK_VARIABLE) or None  # so that what is learned mixes with what the page shows
    return Workshop(
        minutes=limits.own_minutes,
        waiting=limits.own_waiting,
        threads=threads,
        weights=NetworkWeights(*files),
        base=base,
    )


def _offered(catalog: Catalog, key: str, chosen: bool) -> tuple[Any, ...]:
    """The styles with a visitor's own one, on the cards and to be mixed in; chosen at first, and then left alone."""
    offered = choices(catalog, key)
    value = {"value": key} if chosen else {}
    second, third = (gr.Dropdown(choices=[NO_STYLE, *offered]) for _ in range(2))
    data = swatch(catalog.card(key))
    picture = f"#styles label:has(input[value^='{MARK}'])::before {{background-image: url({data}) !important}}"
    return gr.Radio(choices=offered, **value), f"<style>{picture if data else ''}</style>", second, third


def _progress(word: Word) -> str:
    if word.before:
        return say("In line: {before} before yours.", before=word.before)
    if not word.steps:
        return say("Looking at the painting.")
    return say("Learning: {seconds} s. Watch your photo; it gets better.", seconds=f"{word.seconds:.0f}")


def _says(text: str, done: float | None = None) -> str:
    bar = "" if done is None else f'<progress max="1" value="{done:.3f}"></progress>'
    return f'<p role="status">{html.escape(text)}</p>{bar}'


def _nothing_new(outputs: int) -> tuple[Any, ...]:
    return tuple(gr.skip() for _ in range(outputs))


def _title(file: Path) -> str:
    """A title from the name of a file: sea_and-sky.jpg is "Sea and sky"."""
    words = " ".join(re.sub(r"[_\W]+", " ", file.stem).split())[:LONGEST_NAME].strip()
    return words[:1].upper() + words[1:] if words else "Mine"


def _name(title: str) -> str:
    """A name for files and commands from a title; "mine" where nothing of it can be one."""
    words = re.findall(r"[a-z0-9]+", title.lower())
    return "-".join(words)[:LONGEST_NAME].strip("-") or "mine"
