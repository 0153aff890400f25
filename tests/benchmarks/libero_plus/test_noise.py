"""Image noise equals upstream's, whose results were measured with the same random draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_eval.benchmarks.libero_plus import perturbations as noise
from wam_eval.benchmarks.libero_plus.perturbations import KINDS, add_noise, kind_and_level

NUMBERS = range(1, 51)
SIZE = 64


def example() -> np.ndarray:
    """A gradient, a ring and a square, uint8 (64, 64, 3)."""
    down, across = np.indices((SIZE, SIZE))
    ring = (np.hypot(down - 30, across - 34) // 6 % 2) * 90
    colours = np.stack([3 * across, 2 * down + 40, ring + 60], axis=-1)
    colours[40:56, 8:24] = (230, 30, 60)
    return colours.astype(np.uint8)


def psnr(first: np.ndarray, second: np.ndarray) -> float:
    """Peak signal-to-noise ratio, dB."""
    return float(10 * np.log10(255**2 / np.mean((first.astype(float) - second) ** 2)))


def gradient_energy(image: np.ndarray) -> float:
    """Mean squared difference of neighbours."""
    values = image.astype(float)
    return float(np.mean(np.diff(values, axis=0) ** 2) + np.mean(np.diff(values, axis=1) ** 2))


def stream() -> np.random.Generator:
    return np.random.default_rng(7)


# By level: PSNR and gradient energy of the results of upstream's functions, with draws from the same stream.
UPSTREAM = {
    "motion blur": (
        *((24.3319, 313.413), (21.8977, 229.866), (20.438, 183.676), (19.4966, 151.287), (18.8555, 128.908)),
        *((17.992, 98.3507), (17.45, 79.3226), (17.0442, 66.0189), (16.5793, 52.4233), (15.9691, 38.5411)),
    ),
    "gaussian blur": (
        *((26.7857, 184.247), (23.1836, 79.76), (20.9814, 36.6726), (19.6133, 20.0611), (18.8246, 13.3829)),
        *((18.3254, 9.78886), (17.965, 7.5477), (17.6762, 6.06969), (17.4383, 5.0792), (17.2398, 4.4213)),
    ),
    "zoom blur": (
        *((22.0322, 218.031), (20.5192, 183.358), (19.6236, 157.526), (18.8116, 134.628), (18.2422, 111.692)),
        *((17.1047, 87.1758), (16.8421, 77.4456), (16.8704, 70.9935), (16.6436, 60.7395), (16.7372, 57.4928)),
    ),
    "fog": (
        *((22.974, 327.881), (19.5718, 178.937), (17.9597, 112.792), (16.9126, 77.8624), (16.1646, 57.1992)),
        *((15.5031, 44.2339), (14.8212, 36.1108), (14.327, 31.6705), (14.4738, 33.516), (14.863, 50.0216)),
    ),
    "glass blur": (
        *((19.5519, 413.409), (20.1054, 183.771), (18.7005, 122.242), (20.2559, 101.995), (19.3935, 71.8581)),
        *((19.4051, 53.7942), (18.9533, 33.4656), (18.8758, 25.3982), (18.9482, 19.181), (18.7535, 15.7703)),
    ),
}


@pytest.mark.parametrize("number", NUMBERS)
def test_levels_equal_upstreams(number: int) -> None:
    """Within 0.3 %, because processors round differently; of two levels, one number differs by more."""
    kind, level = kind_and_level(number)
    noisy = add_noise(example(), number, stream())
    assert noisy.dtype == np.uint8
    assert (psnr(example(), noisy), gradient_energy(noisy)) == pytest.approx(UPSTREAM[kind][level - 1], rel=3e-3)


def test_numbers_are_five_kinds_in_ten_levels() -> None:
    assert [kind_and_level(number) for number in NUMBERS] == [(kind, level) for kind in KINDS for level in range(1, 11)]


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(NUMBERS), st.integers(0, 2**32))
def test_equal_streams_give_equal_images(number: int, seed: int) -> None:
    first, second = (add_noise(example(), number, np.random.default_rng(seed)) for _ in range(2))
    assert np.array_equal(first, second)


@settings(max_examples=50, deadline=None)
@given(st.sampled_from([number for number in NUMBERS if kind_and_level(number)[0] != "fog"]), st.integers(0, 255))
def test_an_image_of_one_colour_keeps_it(number: int, value: int) -> None:
    noisy = add_noise(np.full((SIZE, SIZE, 3), value, np.uint8), number, stream())
    assert abs(noisy.astype(int) - value).max() <= 2  # the weights sum to slightly less than one


def test_thicker_fog_hides_more() -> None:
    views = example(), example()[:, ::-1]
    for level in range(31, 40):
        thin, thick = (
            [add_noise(view, number, stream()).astype(int) for view in views] for number in (level, level + 1)
        )
        assert np.abs(thin[0] - thin[1]).mean() > np.abs(thick[0] - thick[1]).mean()


def test_motion_blur_is_one_sided() -> None:
    dot = np.zeros((21, 21, 3), np.uint8)
    dot[10, 10] = 255
    level = noise.motion_blur(dot, 5, 2, angle=0.0)[..., 0]
    assert level[10, :11].astype(bool).tolist() == [False] * 5 + [True] * 6
    assert not level[10, 11:].any() and level[10].argmax() == 10
    down = noise.motion_blur(dot, 5, 2, angle=45.0)[..., 0]
    assert down[9, 9] and not down[11, 11]


def test_glass_blur_copies_pixels_and_does_not_exchange_them() -> None:
    plain = np.zeros((SIZE, SIZE, 3), np.uint8)
    plain[::2] = 255
    scattered = noise.glass_blur(plain, 1e-9, 2, 1, stream())
    assert set(np.unique(scattered)) <= {0, 255}
    assert scattered.mean() != plain.mean()


def test_the_number_of_zoom_factors_depends_on_rounding() -> None:
    counts = [len(np.arange(1, *factors)) for factors in noise._ZOOM]
    assert counts == [12, 16, 11, 13, 11, 37, 41, 23, 26, 19]


def test_fog_covers_images_up_to_256_pixels() -> None:
    with pytest.raises(ValueError, match="up to 256 x 256, not 320 x 320"):
        add_noise(np.zeros((320, 320, 3), np.uint8), 31, stream())


@pytest.mark.parametrize("sigma", [1, 10])
def test_gaussian_blur_is_scikit_images(sigma: int) -> None:
    filters = pytest.importorskip("skimage.filters")
    expected = np.clip(filters.gaussian(example() / 255.0, sigma=sigma, channel_axis=-1), 0, 1) * 255
    assert np.array_equal(add_noise(example(), 10 + sigma, stream()), expected.astype(np.uint8))
