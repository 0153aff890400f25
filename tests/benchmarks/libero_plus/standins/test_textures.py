"""Generated textures: every name of the tasks has one, and names differ as scanned materials do."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from wam_eval.benchmarks.libero_plus.standins.textures import SIZE, texture, texture_png


def test_a_texture_is_a_small_png_and_always_the_same() -> None:
    image = Image.open(io.BytesIO(texture_png("Bricks02_COL_VAR1_6K")))
    assert image.size == (SIZE, SIZE) and image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), texture("Bricks02_COL_VAR1_6K"))


def test_normal_maps_are_violet_and_height_maps_gray() -> None:
    normal, height = texture("Tiles01_NRM_6K"), texture("Tiles01_DISP_6K")
    assert normal[..., 2].mean() > normal[..., 0].mean() + 50
    assert (height[..., 0] == height[..., 1]).all() and height.std() > 10


def test_the_second_colour_of_a_material_has_the_same_pattern() -> None:
    first, second = (texture(f"FabricDenim002_COL_VAR{number}_6K").astype(float) for number in (1, 2))
    assert np.corrcoef(first[..., 0].ravel(), second[..., 0].ravel())[0, 1] > 0.99
    assert first.mean(axis=(0, 1))[2] > second.mean(axis=(0, 1))[2] + 10


@pytest.mark.parametrize(
    "material", ["Bricks02", "CardboardPleated001", "Cobblestone01", "FabricLinen001", "WoodFine001"]
)
def test_patterns_have_no_seam(material: str) -> None:
    """Opposite edges differ no more than neighbouring rows elsewhere."""
    image = texture(f"{material}_COL_6K").astype(float)
    for turned in (image, image.swapaxes(0, 1)):
        steps = np.abs(np.diff(turned, axis=0, append=turned[:1])).mean(axis=(1, 2))
        assert steps[-1] <= steps[:-1].max()


def test_materials_look_different() -> None:
    names = (
        "Bricks02",
        "Cobblestone01",
        "FabricDenim001",
        "FabricLeatherRed001",
        "Marble01",
        "WoodFine001",
        "cream_plaster",
    )
    images = [texture(f"{name}_COL_6K").astype(float) for name in names]
    for number, image in enumerate(images):
        assert all(np.abs(image - other).mean() > 8 for other in images[:number])
