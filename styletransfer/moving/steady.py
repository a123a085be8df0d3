"""Frames painted so that strokes stay on what they paint: a still scene is still, and strokes follow what moves.

Three things make a video that is painted frame by frame boil. The network measures each frame anew; it sees the photo
in cells of 4x4 pixels, which a move of one pixel cuts differently; and its grain stands still on the screen while the
scene moves. So statistics are measured per shot, and the network paints on a canvas that moves with the camera: each
frame is laid onto it where it belongs, cells and grain are those of the canvas, and what was painted before lies there
already, in place and as sharp as it was. The painting is then brought back to the screen, once.

What was painted before is kept where the scene has not changed, as temporal antialiasing does it (Karis 2014, "High
quality temporal supersampling"): blended with the new painting, after what is out of the range of the new painting's
neighborhood was cut off, so that nothing leaves a trail. What moves by itself takes its paint along, by optical flow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from styletransfer.errors import InputError
from styletransfer.models.canvas import LEAST_SIDE, Box, grown
from styletransfer.models.generator import STRIDE, Moments
from styletransfer.moving.motion import STAYS, Similarity, camera_move, flow_between, gray, is_cut, warped
from styletransfer.painter import Part

STEADINESS = (0.0, 1.0)
USUAL_STEADINESS = 0.7
MOST_KEPT = 0.95  # share of what was painted before, at a steadiness of 1
NOISE_KEPT = 0.6  # share of the frames before in what is painted, at a steadiness of 1, against their noise
REACH = 7  # pixels: side of the neighborhood whose range the old painting is cut to
RESTS = 2  # frames in a row at most of which only the news is painted
SURE = 0.5  # trust below which a place is news
BLOCK = 16  # pixels: news is painted in boxes of such blocks, whole cells
WORTH = 0.6  # share of a frame above which painting boxes of it, with their margins, is not worth it
LOOKS = (0, 2, 6, 16)  # frames of a shot after which it is measured again; then after as many as the last again
FRESH = 0.25  # least share of a new measurement in the running one
ZOOM, TURN = 1.2, math.radians(7)  # a canvas further from the screen than this gives way to a new one
SHARPENED = 0.6  # of what enlarging takes away, per doubling

Network = Callable[[Tensor, Tensor], Tensor]


class Window(NamedTuple):
    """The part of the canvas that is painted: whole cells."""

    left: int
    top: int
    width: int
    height: int


@dataclass
class Past:
    """What is known of the frame before, in the place of its window on the canvas."""

    window: Window
    frame: np.ndarray  # (H, W, 3) float32 levels, its noise averaged away
    painting: np.ndarray  # (H, W, 3) float32 levels
    covered: np.ndarray  # (H, W) uint8, 255 where the frame reached
    screen: np.ndarray  # (h, w, 3) uint8: the frame as it came, in the size it is painted in
    place: Similarity  # of the screen on the canvas


class Shot:
    """The networks of a mix with the statistics of a shot, which are a running mean of some of its frames.

    Args:
        parts: the networks, see `Painter.parts`.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = [(part.painter, part.painter.style_weights(part.mix), part.share) for part in parts]
        self.restart()

    def restart(self) -> None:
        """A new shot begins."""
        self.seen, self.looks, self.statistics = 0, 0, [None] * len(self._parts)

    @property
    def device(self) -> torch.device:
        """Where the networks paint."""
        return self._parts[0][0].device

    @property
    def margin(self) -> int:
        """How far the networks see, in pixels."""
        return max(painter.generator.margin for painter, _, _ in self._parts)

    @torch.inference_mode()
    def paint(self, canvas: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
        """Paint (H, W, 3) float32 levels, of which the corner (left, top) says the place on the canvas."""
        if self._is_due():
            self._look(_tensor(canvas))
        self.seen += 1
        return self.run(canvas, corner)

    @torch.inference_mode()
    def run(self, canvas: np.ndarray, corner: tuple[int, int]) -> np.ndarray:
        """As `paint`, with the statistics as they are: a part of a canvas that was measured."""
        photo = _tensor(canvas)
        place = torch.tensor([[corner[1], corner[0]]])
        painted = sum(
            share * network(photo.to(painter.device), place.to(painter.device)).float().cpu()
            for (painter, _, share), network in zip(self._parts, self._networks, strict=True)
        )
        if not painted.isfinite().all():
            raise InputError("The network of this style paints no picture: use another copy of the pack.")
        return ((painted[0].permute(1, 2, 0).numpy() + 1) * 127.5).clip(0, 255)

    def _is_due(self) -> bool:
        return self.seen in LOOKS or self.seen % LOOKS[-1] == 0

    def _look(self, photo: Tensor) -> None:
        self.looks += 1
        fresh = max(FRESH, 1 / self.looks)
        for index, (painter, weights, _) in enumerate(self._parts):
            new, old = painter.network.measure(photo.to(painter.device), weights), self.statistics[index]
            self.statistics[index] = new if old is None else _between(old, new, fresh)
        self.fold()

    def fold(self) -> None:
        """Make the networks of the statistics."""
        self._networks: list[Network] = [
            painter.network.fold(weights, statistics)
            for (painter, weights, _), statistics in zip(self._parts, self.statistics, strict=True)
        ]


class SteadyPainter:
    """Paints the frames of a clip one after the other; cuts between shots are found.

    Args:
        parts: the networks that paint, see `Painter.parts`.
        size: (width, height) of the frames.
        scale: width of the strokes in the frames' pixels, as a multiple of what was learned: the network paints the
            frame that much smaller, and the painting is enlarged.
        steadiness: 0 to 1, how much of what was painted before is kept where the scene has not changed.
    """

    def __init__(
        self, parts: Sequence[Part], size: tuple[int, int], scale: float = 1.0, steadiness: float = USUAL_STEADINESS
    ) -> None:
        self.size, self.steadiness = size, steadiness
        self.inner = tuple(max(LEAST_SIDE, round(side / scale)) for side in size)
        self.shot = Shot(parts)
        self.past: Past | None = None
        self.rested = 0  # frames since the last one that was painted as a whole

    def paint(self, rgb: np.ndarray) -> np.ndarray:
        """The painting of the next frame: (H, W, 3) uint8 in, the same out."""
        screen = cv2.resize(
            rgb, self.inner, interpolation=cv2.INTER_AREA if self.inner < self.size else cv2.INTER_CUBIC
        )
        past = self.past
        if past is None or is_cut(past.screen, screen):
            self.shot.restart()
            past = None
        place = STAYS if past is None else self._place(past, screen)
        anew = _is_too_far(place)  # the camera has left its canvas behind: a new one begins
        frame, covered, window = _laid(screen, STAYS if anew else place)
        old = None if past is None else _moved(past, place if anew else None, window)
        place = STAYS if anew else place
        if old is None or not self.steadiness:
            painting, self.rested = self.shot.paint(frame, window[:2]), 0
        else:
            frame, trust, history = self._remembered(frame, covered, old)
            news = self._news(trust, covered) if self.rested < RESTS else None
            self.rested = 0 if news is None else self.rested + 1
            again = self._repainted if news is None else partial(self._patched, news)
            painting = again(frame, window, trust, history)
        self.past = Past(window, frame, painting, covered, screen, place)
        return self._shown(painting, window, place)

    def _place(self, past: Past, screen: np.ndarray) -> Similarity:
        """Where the frame lies on the canvas, so that what the camera sees stays where it was."""
        move = camera_move(gray(past.screen), gray(screen))
        return past.place if move is STAYS else past.place @ _whole(cv2.invertAffineTransform(move))

    def _news(self, trust: np.ndarray, covered: np.ndarray) -> list[Box] | None:
        """Boxes of whole cells around all that was not painted before; None where the whole is painted as fast."""
        unsure = ((trust[..., 0] < SURE) & (covered > 250)).astype(np.uint8)
        unsure = cv2.dilate(
            cv2.morphologyEx(unsure, cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)), np.ones((9, 9), np.uint8)
        )
        height, width = unsure.shape
        blocks = cv2.resize(unsure, (-(-width // BLOCK), -(-height // BLOCK)), interpolation=cv2.INTER_AREA)
        blocks = cv2.dilate((blocks > 0).astype(np.uint8), np.ones((3, 3), np.uint8))
        found = cv2.connectedComponentsWithStats(blocks)[2][1:]
        boxes = [
            (x * BLOCK, y * BLOCK, min(width, (x + w) * BLOCK), min(height, (y + h) * BLOCK)) for x, y, w, h, _ in found
        ]
        around = [grown(box, self.shot.margin, (width, height)) for box in boxes]
        work = sum((right - left) * (bottom - top) for left, top, right, bottom in around)
        return boxes if work < WORTH * width * height else None

    def _patched(
        self, news: list[Box], frame: np.ndarray, window: Window, trust: np.ndarray, history: np.ndarray
    ) -> np.ndarray:
        """The old painting with what is new painted into it."""
        painting, (height, width) = history.copy(), frame.shape[:2]
        for left, top, right, bottom in news:
            x, y, *end = grown((left, top, right, bottom), self.shot.margin, (width, height))
            patch = self.shot.run(frame[y : end[1], x : end[0]], (window.left + x, window.top + y))
            patch = patch[top - y : bottom - y, left - x : right - x]
            kept = trust[top:bottom, left:right]
            painting[top:bottom, left:right] = patch + kept * (history[top:bottom, left:right] - patch)
        return painting

    def _repainted(self, frame: np.ndarray, window: Window, trust: np.ndarray, history: np.ndarray) -> np.ndarray:
        """The frame painted anew, and mixed with the old painting."""
        painting = self.shot.paint(frame, window[:2])
        kept = trust * np.float32(self.steadiness * MOST_KEPT)
        return painting + kept * (_cut_to_range(history, painting) - painting)

    def _remembered(
        self, frame: np.ndarray, covered: np.ndarray, old: Past
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The frame with less noise, the trust in the old painting (H, W, 1), and that painting in place."""
        now, before = (gray(x.round().clip(0, 255).astype(np.uint8)) for x in (frame, old.frame))
        flow = flow_between(before, now)
        history, seen, known = old.painting, old.frame, old.covered
        if flow.back is not None:
            history, seen, known = (warped(x, flow.back) for x in (history, seen, known))
        trust = (flow.trust * (known > 250) * (covered > 250))[..., None]
        frame = frame + trust * np.float32(NOISE_KEPT * min(1.0, self.steadiness)) * (seen - frame)
        return frame, trust, history

    def _shown(self, painting: np.ndarray, window: Window, place: Similarity) -> np.ndarray:
        """The painting as the screen shows it, in the size of the frames."""
        size = self.size if self.inner < self.size else self.inner
        enlarged = size[0] / self.inner[0], size[1] / self.inner[1]
        shown = painting.round().clip(0, 255).astype(np.uint8)
        if place is STAYS and size == self.inner:
            shown = shown[: size[1], : size[0]]
        else:
            to_window = _sampling(place, enlarged, window)
            flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
            shown = cv2.warpAffine(shown, to_window, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        if size != self.size:
            return cv2.resize(shown, self.size, interpolation=cv2.INTER_AREA)
        return _sharpened(shown, enlarged[0])


def state_of(painter: SteadyPainter) -> dict[str, np.ndarray]:
    """All that the next frame depends on, as arrays by name, for `resume`."""
    past, shot = painter.past, painter.shot
    state = {"counts": np.array([shot.seen, shot.looks, painter.rested])}
    for index, statistics in enumerate(shot.statistics):
        state |= {f"statistics-{index}-{name}": values for name, values in _arrays(statistics).items()}
    if past is not None:
        names = ("frame", "painting", "covered", "screen", "place")
        state |= {name: getattr(past, name) for name in names} | {"window": np.array(past.window)}
    return state


def resume(painter: SteadyPainter, state: Mapping[str, np.ndarray]) -> None:
    """Let the painter go on where the state was taken."""
    shot = painter.shot
    shot.seen, shot.looks, rested = (int(value) for value in state["counts"])
    painter.rested = rested
    for index in range(len(shot.statistics)):
        mark = f"statistics-{index}-"
        arrays = {name.removeprefix(mark): state[name] for name in state if name.startswith(mark)}
        shot.statistics[index] = _statistics(arrays, shot.device)
    shot.fold()
    painter.past = Past(
        Window(*(int(side) for side in state["window"])),
        *(state[name] for name in ("frame", "painting", "covered", "screen")),
        STAYS if np.array_equal(state["place"], STAYS) else state["place"],
    )


def _is_too_far(place: Similarity) -> bool:
    zoom, turn = math.hypot(place[0, 0], place[1, 0]), math.atan2(place[1, 0], place[0, 0])
    return not (1 / ZOOM < zoom < ZOOM and abs(turn) < TURN)


def _tensor(canvas: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(canvas)).permute(2, 0, 1)[None] / 127.5 - 1


def _laid(screen: np.ndarray, place: Similarity) -> tuple[np.ndarray, np.ndarray, Window]:
    """The frame on the canvas (H, W, 3) float32, where it covers it (H, W) uint8, and the window of both."""
    height, width = screen.shape[:2]
    corners = np.float64([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ place.T
    left, top = (math.floor(value / STRIDE + 1e-6) * STRIDE for value in corners.min(axis=0))
    right, bottom = (math.ceil(value / STRIDE - 1e-6) * STRIDE for value in corners.max(axis=0))
    window = Window(left, top, right - left, bottom - top)
    onto = place - np.float64([[0, 0, left], [0, 0, top]])
    covered = np.full((height, width), 255, np.uint8)
    if place is STAYS:
        edge = (0, window.height - height, 0, window.width - width)
        frame = cv2.copyMakeBorder(screen, *edge, cv2.BORDER_REFLECT)
        return frame.astype(np.float32), cv2.copyMakeBorder(covered, *edge, cv2.BORDER_CONSTANT), window
    size = window[2:]
    frame = cv2.warpAffine(screen.astype(np.float32), onto, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    return frame, cv2.warpAffine(covered, onto, size, flags=cv2.INTER_LINEAR), window


def _moved(past: Past, left_behind: Similarity | None, window: Window) -> Past:
    """What is known of the frame before, in the place of the window now.

    left_behind: the place of the frame on the canvas before, where a new canvas has begun.
    """
    if left_behind is not None:
        onto = _whole(cv2.invertAffineTransform(left_behind)) @ _shift(past.window.left, past.window.top)
        return _relaid(past, (_shift(-window.left, -window.top) @ onto)[:2], window, cv2.INTER_CUBIC)
    left, top = window.left - past.window.left, window.top - past.window.top
    if (left, top, *window[2:]) == (0, 0, *past.window[2:]):
        return past
    return _relaid(past, _shift(-left, -top)[:2], window, cv2.INTER_NEAREST)


def _relaid(past: Past, onto: Similarity, window: Window, flags: int) -> Past:
    """The same moved by `onto`; by whole pixels it stays as sharp as it was."""
    moved = [
        cv2.warpAffine(values, onto, window[2:], flags=flags, borderMode=border)
        for values, border in (
            (past.frame, cv2.BORDER_REPLICATE),
            (past.painting, cv2.BORDER_REPLICATE),
            (past.covered, cv2.BORDER_CONSTANT),
        )
    ]
    return Past(window, *moved, past.screen, past.place)


def _sampling(place: Similarity, enlarged: tuple[float, float], window: Window) -> Similarity:
    """From a pixel of the screen, enlarged, to its place in the window; pixels are taken in their middles."""
    shrink = np.float64(
        [
            [1 / enlarged[0], 0, 0.5 / enlarged[0] - 0.5],
            [0, 1 / enlarged[1], 0.5 / enlarged[1] - 0.5],
            [0, 0, 1],
        ]
    )
    return (_shift(-window.left, -window.top) @ _whole(place) @ shrink)[:2]


def _cut_to_range(history: np.ndarray, painting: np.ndarray) -> np.ndarray:
    """The old painting within what the new one has around each place."""
    around = np.ones((REACH, REACH), np.uint8)
    return np.clip(history, cv2.erode(painting, around), cv2.dilate(painting, around))


def _sharpened(shown: np.ndarray, enlarged: float) -> np.ndarray:
    """What enlarging has blurred, as an unsharp mask as wide as an enlarged pixel brings it back."""
    if enlarged <= 1.05:
        return shown
    amount = SHARPENED * math.log2(enlarged)
    return cv2.addWeighted(shown, 1 + amount, cv2.GaussianBlur(shown, (0, 0), enlarged), -amount, 0)


def _whole(place: Similarity) -> np.ndarray:
    return np.vstack([place, [0, 0, 1]])


def _shift(right: float, down: float) -> np.ndarray:
    return np.float64([[1, 0, right], [0, 1, down], [0, 0, 1]])


def _between(old: Any, new: Any, share: float) -> Any:
    """A running mean of statistics, whichever form the network has them in."""
    if isinstance(old, Tensor):
        return torch.lerp(old, new, share)
    return [
        Moments(*(torch.lerp(a, b, share) for a, b in zip(x, y, strict=True))) for x, y in zip(old, new, strict=True)
    ]


def _arrays(statistics: Any) -> dict[str, np.ndarray]:
    if isinstance(statistics, Tensor):
        return {"all": statistics.cpu().numpy()}
    pairs = [(f"{layer}-{name}", getattr(m, name)) for layer, m in enumerate(statistics) for name in Moments._fields]
    return {name: values.cpu().numpy() for name, values in pairs}


def _statistics(arrays: Mapping[str, np.ndarray], device: torch.device) -> Any:
    tensors = {name: torch.from_numpy(values).to(device) for name, values in arrays.items()}
    if "all" in tensors:
        return tensors["all"]
    return [Moments(*(tensors[f"{layer}-{name}"] for name in Moments._fields)) for layer in range(len(tensors) // 2)]
