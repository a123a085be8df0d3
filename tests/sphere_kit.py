"""360-degree pictures made for tests and measurements: photos pasted onto a sphere, and noise that is even all over."""

import math

import cv2
import numpy as np
from PIL import Image

from styletransfer.images.files import load_picture
from styletransfer.paths import EXAMPLES
from styletransfer.surround.sphere import view

PLACES = {  # photo -> where it is on the sphere: yaw, pitch, half its angle of view, in degrees
    "pagoda": (0, 8, 48),
    "coffee": (178, -12, 42),
    "rocket": (88, 20, 40),
    "cat": (-85, -5, 40),
    "astronaut": (40, 84, 38),
    "pagoda ": (10, -84, 42),
}


def directions(width):
    """Of the pixels of an equirectangular picture: x to the right, y up, z ahead, each (H, W) float32."""
    longitude = ((np.arange(width, dtype=np.float32) + 0.5) / width - 0.5) * 2 * math.pi
    latitude = (0.5 - (np.arange(width // 2, dtype=np.float32)[:, None] + 0.5) / (width // 2)) * math.pi
    flat = np.cos(latitude)
    return flat * np.sin(longitude), np.sin(latitude) + 0 * longitude, flat * np.cos(longitude)


def photo_sphere(width, seed=0):
    """A sky over a ground with the example photos around, above and below: "RGB", width x width / 2."""
    x, y, z = directions(width)
    up = y[..., None]
    sky = np.where(
        up > 0, (1 - up) * (205, 215, 225) + up * (70, 120, 200), (1 + up) * (150, 140, 110) - up * (70, 80, 50)
    )
    sky += 12 * _field(width, 40, seed)[..., None]
    for name, (yaw, pitch, half) in PLACES.items():
        _paste(
            sky, (x, y, z), load_picture(EXAMPLES / f"{name.strip()}.jpg").rgb, *map(math.radians, (yaw, pitch, half))
        )
    return Image.fromarray(sky.round().clip(0, 255).astype(np.uint8))


def _paste(sphere, where, photo, yaw, pitch, half):
    x, y, z = where
    ahead = z * math.cos(yaw) + x * math.sin(yaw)
    right = x * math.cos(yaw) - z * math.sin(yaw)
    depth, up = ahead * math.cos(pitch) + y * math.sin(pitch), y * math.cos(pitch) - ahead * math.sin(pitch)
    far = np.where(depth > 0.05, depth, np.inf) * math.tan(half)
    aspect = photo.width / photo.height
    across, down = right / far, -up / far * aspect
    shown = cv2.remap(
        np.asarray(photo),
        (across + 1) / 2 * photo.width - 0.5,
        (down + 1) / 2 * photo.height - 0.5,
        cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    inside = np.where(depth > 0.05, np.clip((1 - np.maximum(np.abs(across), np.abs(down))) * 6, 0, 1), 0)[..., None]
    sphere += inside * (shown - sphere)


def even_sphere(width, cells=24, seed=1):
    """Noise of one grain all over the sphere, in gray: what is seen of it is alike in every direction."""
    field = 128 + 45 * _field(width, cells, seed)
    return Image.fromarray(field.round().clip(0, 255).astype(np.uint8)).convert("RGB")


def _field(width, cells, seed):
    """Smooth noise of deviation 1 in space, where the sphere cuts it: (H, W)."""
    grid = np.random.default_rng(seed).normal(0, 1, (cells + 2,) * 3).astype(np.float32)
    field = _in_grid(grid, [(each + 1) / 2 * cells for each in directions(width)])
    return field / field.std()


def _in_grid(grid, place):
    """Trilinear values of a grid."""
    corner = [np.floor(each).astype(np.int32) for each in place]
    share = [(each - floor).astype(np.float32) for each, floor in zip(place, corner, strict=True)]
    value = np.zeros_like(share[0])
    for dx, dy, dz in np.ndindex(2, 2, 2):
        weight = 1
        for bit, part in zip((dx, dy, dz), share, strict=True):
            weight = weight * (part if bit else 1 - part)
        value += weight * grid[corner[0] + dx, corner[1] + dy, corner[2] + dz]
    return value


def wave_number(picture, pitch, degrees=50, side=256):
    """Waves across a view in the direction of a pitch, in degrees: the mean of four views around, of what is fine.

    The spectral centroid (geometric, from 16 waves on) of luminance in a square perspective view of that many degrees.
    """
    found = []
    for yaw in (0.1, 1.6, 3.2, 4.7):
        seen = view(np.asarray(picture), yaw, math.radians(pitch), side, math.radians(degrees)).astype(np.float32)
        window = np.hanning(side)
        power = np.abs(np.fft.fft2((seen.mean(2) - seen.mean()) * np.outer(window, window))) ** 2
        waves = np.hypot(*np.meshgrid(*[np.fft.fftfreq(side, 1 / side)] * 2))
        power[waves < 16] = 0
        found.append(math.exp((power * np.log(np.maximum(waves, 1))).sum() / power.sum()))
    return float(np.mean(found))
