"""Generated textures for the tables, floors and walls of background tasks, by the names that upstream's tasks use.

A name such as ``Bricks02_COL_VAR1_6K`` tells the material, and the kind of image: scanned materials consist of a colour
image and of gray or violet images of height, gloss and slope, and upstream paints tables and floors with any of them.
A pattern of each material is drawn here as a map of heights, and the kind of image is computed from it.
"""

from __future__ import annotations

import hashlib
import io

import numpy as np
from numpy.typing import NDArray

Heights = NDArray[np.float64]
SIZE = 128
"""Pixels per side; the patterns repeat without a seam."""

_MATERIALS: dict[str, tuple[str, tuple[int, int, int]]] = {
    "Bricks": ("bricks", (150, 82, 62)),
    "CarbonFiber": ("twill", (52, 54, 58)),
    "Cardboard": ("paper", (186, 148, 104)),
    "CardboardPleated": ("pleats", (182, 142, 98)),
    "CliffDesert": ("rock", (176, 128, 92)),
    "Cobblestone": ("cells", (128, 124, 118)),
    "Fabric": ("weave", (142, 130, 118)),
    "FabricCarpet": ("paper", (120, 104, 96)),
    "FabricDenim": ("twill", (70, 92, 134)),
    "FabricFleece": ("rock", (158, 136, 142)),
    "FabricLeather": ("cells", (96, 68, 50)),
    "FabricLeatherBlack": ("cells", (40, 40, 42)),
    "FabricLeatherRed": ("cells", (142, 44, 40)),
    "FabricLeatherWhite": ("cells", (222, 218, 208)),
    "FabricRope": ("pleats", (168, 144, 104)),
    "FabricString": ("pleats", (150, 138, 120)),
    "FabricSuede": ("rock", (132, 98, 74)),
    "FabricTarp": ("weave", (62, 106, 150)),
    "FabricWicker": ("bricks", (170, 132, 84)),
    "FabricWool": ("twill", (136, 122, 110)),
    "Marble": ("veins", (220, 216, 210)),
    "Tiles": ("tiles", (196, 188, 176)),
    "WoodFine": ("grain", (168, 122, 78)),
}
"""First letters of a name -> pattern and colour; the longest that fits is used."""

_PLAIN = ("paper", (200, 194, 184))
_SECOND_COLOUR = (1.15, 0.95, 0.75)  # of images with VAR2 in their names, relative to the first


def texture_png(name: str) -> bytes:
    """The texture of a name as a PNG file."""
    from PIL import Image  # only needed when a file is written

    content = io.BytesIO()
    Image.fromarray(texture(name)).save(content, "PNG")
    return content.getvalue()


def texture(name: str) -> NDArray[np.uint8]:
    """uint8 (SIZE, SIZE, 3): the texture of a name without its suffix."""
    fitting = (start for start in _MATERIALS if name.startswith(start))
    pattern, colour = _MATERIALS.get(max(fitting, key=len, default=""), _PLAIN)
    material = name.partition("_")[0]
    heights = _heights(pattern, material)
    pixels: NDArray[np.uint8] = np.clip(_image(name, heights, np.array(colour, float)), 0, 255).astype(np.uint8)
    return pixels


def _image(name: str, heights: Heights, colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """The kind of image of a name, (SIZE, SIZE, 3) in levels of 0 to 255."""
    if "_NRM" in name:
        slopes = [6 * (np.roll(heights, -1, axis) - heights) for axis in (1, 0)]
        normals = np.stack([-slopes[0], slopes[1], np.ones_like(heights)], axis=-1)
        normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
        return 127.5 * (normals + 1)
    gray = {"_AO": (150, 100), "_DISP": (40, 170), "_GLOSS": (160, -90), "_REFL": (30, 60), "_SPEC": (70, 90)}
    for kind, (lowest, span) in gray.items():
        if kind in name:
            return np.repeat((lowest + span * heights)[..., None], 3, axis=-1)
    if "_OBJECTID" in name:  # a flat colour for each part of the material
        return np.where(heights[..., None] > np.median(heights), (210.0, 60.0, 60.0), (60.0, 60.0, 210.0))
    if "_VAR2" in name:
        colour = colour * _SECOND_COLOUR
    return colour * (0.65 + 0.6 * heights[..., None])


def _heights(pattern: str, material: str) -> Heights:
    """The pattern of a material as heights from 0 to 1, float64 (SIZE, SIZE)."""
    stream = np.random.default_rng(int.from_bytes(hashlib.sha256(material.encode()).digest()[:8], "little"))
    rows, columns = np.indices((SIZE, SIZE))
    grain = stream.normal(size=(SIZE, SIZE))
    period = SIZE // int(stream.choice((8, 16)))
    if pattern == "bricks":
        shifted = columns + (rows // (SIZE // 8) % 2) * (SIZE // 8)
        joints = (rows % (SIZE // 8) < 2) | (shifted % (SIZE // 4) < 2)
        heights = np.where(joints, -4.0, 1.0) + _smooth(grain, 1.0)
    elif pattern == "tiles":
        joints = (rows % (SIZE // 2) < 2) | (columns % (SIZE // 2) < 2)
        heights = np.where(joints, -6.0, 1.0) + 0.3 * _smooth(grain, 4.0)
    elif pattern == "cells":
        points = stream.uniform(0, SIZE, (60, 2))
        away = np.abs(np.stack([rows, columns], axis=-1)[:, :, None] - points)
        distances = np.sort(np.linalg.norm(np.minimum(away, SIZE - away), axis=-1), axis=-1)
        heights = np.minimum(distances[..., 1] - distances[..., 0], 6) + 0.3 * grain
    elif pattern == "weave":
        over = np.sin(2 * np.pi * rows / period) * np.sin(2 * np.pi * columns / period)
        heights = over + 0.2 * grain
    elif pattern == "twill":
        heights = np.sin(2 * np.pi * (rows + columns) / period) + 0.3 * grain
    elif pattern == "pleats":
        heights = np.sin(2 * np.pi * columns / period) + 0.2 * grain
    elif pattern == "grain":
        heights = _smooth(grain, 12.0, axes=(1,)) + 0.2 * _smooth(grain, 1.0)
    elif pattern == "veins":
        bend = _smooth(grain, 8.0)
        heights = -(np.abs(np.sin(2 * np.pi * (rows + columns) / SIZE + 1.5 * bend)) ** 0.3)
    elif pattern == "rock":
        scales = (1.0, 3.0, 9.0)
        heights = np.sum([scale * _smooth(stream.normal(size=grain.shape), scale) for scale in scales], axis=0)
    else:
        heights = _smooth(grain, 1.0)
    low, high = np.percentile(heights, (1, 99))
    limited: Heights = np.clip((heights - low) / (high - low), 0, 1)
    return limited


def _smooth(noise: Heights, sigma: float, axes: tuple[int, ...] = (0, 1)) -> Heights:
    """Noise after a gaussian blur with periodic edges, with a standard deviation of 1."""
    spectrum = np.fft.fft2(noise)
    for axis in axes:
        kernel = np.exp(-2 * (np.pi * sigma * np.fft.fftfreq(SIZE)) ** 2)
        spectrum *= kernel if axis == 1 else kernel[:, None]
    blurred = np.fft.ifft2(spectrum).real
    scaled: Heights = blurred / blurred.std()
    return scaled
