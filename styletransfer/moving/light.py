"""Colors of video frames: YUV of either matrix and range to RGB, and high dynamic range to what a screen shows.

PQ is SMPTE ST 2084, HLG is ARIB STD-B67, both as in ITU-R BT.2100; the reference white of 203 nits is BT.2408's.
"""

from functools import lru_cache

import av
import numpy as np
from av.video.reformatter import ColorRange, ColorTrc, Interpolation

from styletransfer.moving.frames import BT601, BT709

BT2020 = 9
WHITE = 203.0  # nits: white paper in a high dynamic range
PEAK = 1000.0  # nits: of the screen that HLG is made for
KNEE = 0.7  # up to this share of white light stays as it is, above it is compressed
HD_HEIGHT = 720  # from here on players take a video that does not say its matrix for BT.709
# Linear light of BT.2020 to that of BT.709 (ITU-R BT.2087).
TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)


def is_high_range(frame: av.VideoFrame) -> bool:
    """Whether the frame has the light of PQ or HLG."""
    return frame.color_trc in (ColorTrc.SMPTE2084, ColorTrc.ARIB_STD_B67)


def matrix_of(frame: av.VideoFrame) -> int:
    """The matrix that the frame's YUV was made with; by its height, as players guess, where it does not say."""
    known = {BT601: BT601, 6: BT601, BT709: BT709, BT2020: BT2020, 10: BT2020}
    return known.get(int(frame.colorspace), BT709 if frame.height >= HD_HEIGHT else BT601)


def is_full(frame: av.VideoFrame) -> bool:
    """Whether the frame's YUV has the full range."""
    return frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj")


def to_rgb(frame: av.VideoFrame, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 of that size (width, height), as a screen of BT.709 shows the frame."""
    high = is_high_range(frame)
    matrix = matrix_of(frame)
    made = frame.reformat(
        *size,
        format="rgb48le" if high else "rgb24",
        src_colorspace=matrix,
        src_color_range=ColorRange.JPEG if is_full(frame) else ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.AREA if size[0] < frame.width else Interpolation.BICUBIC,
    ).to_ndarray()
    return tone_mapped(made, int(frame.color_trc)) if high else made


def to_yuv(rgb: np.ndarray, matrix: int, is_full_range: bool) -> av.VideoFrame:
    """A frame (H, W, 3) uint8, both sides even, as yuv420p."""
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame.reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=matrix,
        dst_color_range=ColorRange.JPEG if is_full_range else ColorRange.MPEG,
        interpolation=Interpolation.BICUBIC,
    )


def tone_mapped(values: np.ndarray, transfer: int) -> np.ndarray:
    """High dynamic range (H, W, 3) uint16 in BT.2020 as uint8 in BT.709.

    Light up to KNEE of white stays as it is, what is brighter runs towards white in an exponential shoulder, by the
    strongest channel, so that hues stay.
    """
    light = _curve(transfer)[values]
    if transfer == ColorTrc.ARIB_STD_B67:  # of the scene: a screen of 1000 nits shows it with a gamma of 1.2
        luminance = light @ np.array([0.2627, 0.678, 0.0593], dtype=np.float32)
        light *= (np.maximum(luminance, 1e-6) ** 0.2)[..., None] * np.float32(PEAK / WHITE)
    light = np.maximum(light @ TO_BT709.T, 0)
    strongest = light.max(axis=-1, keepdims=True)
    beyond = np.maximum(strongest - KNEE, 0) / (1 - KNEE)
    light *= (np.minimum(strongest, KNEE) + (1 - KNEE) * (1 - np.exp(-beyond))) / np.maximum(strongest, 1e-6)
    return (255 * np.clip(light, 0, 1) ** np.float32(1 / 2.4)).round().astype(np.uint8)


@lru_cache(maxsize=2)
def _curve(transfer: int) -> np.ndarray:
    """(65536,) float32: light of each level, 1 is white for PQ, and the brightest light of the scene for HLG."""
    level = np.arange(65536, dtype=np.float64) / 65535
    if transfer == ColorTrc.ARIB_STD_B67:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        return np.where(level <= 0.5, level**2 / 3, (np.exp((level - c) / a) + b) / 12).astype(np.float32)
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = level ** (1 / m2)
    return (10000 / WHITE * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)).astype(np.float32)
