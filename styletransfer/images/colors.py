"""Pixels of every mode to 8-bit sRGB: bit depths, ICC profiles, and the color under transparency."""

import io

import numpy as np
from PIL import Image, ImageCms

from styletransfer.errors import Sentence


def split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colors without transparency, in any mode, and the transparency ("L") or None."""
    if not image.has_transparency_data:
        return image, None
    if image.mode in ("1", "L", "LA", "La"):
        pair = image.convert("LA")
        return pair.getchannel("L"), pair.getchannel("A")
    if image.mode in ("P", "PA", "RGB", "RGBA", "RGBa"):
        rgba = image.convert("RGBA")
        return rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode.startswith("I;16"):  # one gray value of a 16-bit PNG means "transparent"
        visible = np.asarray(image) != image.info["transparency"]
        return image, Image.fromarray(visible.astype(np.uint8) * 255)
    return image, None


def to_8_bit(image: Image.Image, notes: list[Sentence]) -> Image.Image:
    """Every mode as one of "L", "RGB", "CMYK", "LAB"; what had to be guessed is added to `notes`."""
    if image.mode in ("L", "RGB", "CMYK", "LAB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if not image.mode.startswith(("I", "F")):
        return image.convert("RGB")
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), posinf=0, neginf=0)
    white = 65535.0
    is_16_bit = image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I")
    if not is_16_bit:  # then the file does not say what white is
        ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
        highest = float(values.max())
        white = next((white for white in ranges if highest <= white), highest)
        notes.append(
            Sentence("The picture's 32-bit values are read as 0 (black) to {white} (white).", white=f"{white:g}")
        )
    return Image.fromarray((values * (255 / white)).round().clip(0, 255).astype(np.uint8))


def to_srgb(image: Image.Image, profile: bytes | None, notes: list[Sentence]) -> Image.Image:
    """An "L", "RGB", "CMYK" or "LAB" image as a new "RGB" image in sRGB, by its ICC profile if that can be used."""
    rgb = None
    if profile:
        try:
            rgb = _apply_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)))
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append(Sentence("The picture's color profile is damaged or does not fit it, and was ignored."))
    if rgb is None and image.mode == "LAB":
        rgb = _apply_profile(image, ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")))
    if rgb is None:
        if image.mode == "CMYK":
            notes.append(Sentence("The picture is CMYK without a usable color profile: its colors are approximate."))
        rgb = image.convert("RGB")
    rgb.info.clear()  # what the file said about its old pixels would be written with the new ones
    return rgb


def _apply_profile(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    """The image as sRGB; raises ValueError or PyCMSError where the profile is for other kinds of images."""
    space = profile.profile.xcolor_space.strip()
    if space == "RGB" and image.mode == "L":
        image = image.convert("RGB")
    if {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK", "Lab": "LAB"}.get(space) != image.mode:
        raise ValueError(f"a profile for {space}, an image in {image.mode}")
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), image.mode, "RGB")
    if image.mode == "RGB" and _changes_nothing(transform):
        return image.copy()
    return ImageCms.applyTransform(image, transform)


def _changes_nothing(transform: ImageCms.ImageCmsTransform) -> bool:
    """Whether it moves no color by more than one level: the profile is sRGB, and the pixels had better stay exact."""
    colors = np.mgrid[0:256:17, 0:256:17, 0:256:17].reshape(3, 64, 64).transpose(1, 2, 0).astype(np.uint8)
    moved = np.asarray(ImageCms.applyTransform(Image.fromarray(colors), transform))
    return int(np.abs(moved.astype(np.int16) - colors).max()) <= 1


def fill_hidden(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """The same colors where alpha > 0, elsewhere colors grown from there; all as it was if nothing is visible."""
    weight = np.asarray(alpha)
    if weight.all() or not weight.any():
        return rgb
    return Image.fromarray(grown_colors(np.asarray(rgb), weight.astype(np.float32) / 255))


def grown_colors(color: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Colors (H, W, 3) uint8, kept where weight (H, W) > 0, elsewhere taken from a coarser picture of the visible.

    The pull-push pyramid of "The Lumigraph" (Gortler et al., SIGGRAPH 1996).
    """
    if weight.all():
        return color
    height, width = weight.shape
    coarse = Image.fromarray(grown_colors(*_halve(color, weight)))
    filler = coarse.resize((width, height), Image.Resampling.BILINEAR, box=(0, 0, width / 2, height / 2))
    return np.where(weight[..., None] > 0, color, np.asarray(filler))


def _halve(color: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean of each 2x2 block (uint8), and its weight: the sum, at most 1."""
    odd = (0, weight.shape[0] % 2), (0, weight.shape[1] % 2)
    color, weight = np.pad(color, (*odd, (0, 0))), np.pad(weight, odd)
    corners = [(slice(row, None, 2), slice(column, None, 2)) for row in (0, 1) for column in (0, 1)]
    total = sum(weight[corner] for corner in corners)
    mixed = sum(color[corner] * weight[corner][..., None] for corner in corners)
    mean = mixed / np.maximum(total, np.float32(1e-6))[..., None]
    return mean.round().astype(np.uint8), np.minimum(total, 1)
