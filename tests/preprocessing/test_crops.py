"""Crops show the part they say, with the rounding of the libraries they follow."""

import pathlib

import numpy as np
import pytest
from pictures import difference, photo, randomness

from research.preprocessing.crops import CentreCrop, MultiCrop, PadCrop, RandomCrop, RandomResizedCrop
from research.preprocessing.geometry import Flip
from research.preprocessing.phases import PerPhase
from research.preprocessing.resizing import ResizeShorter

STORED = dict(np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "images" / "references.npz"))


def places(height, width):
  """An image whose pixels hold their row and column."""
  rows, columns = np.indices((height, width))
  return np.stack([rows, columns, np.zeros_like(rows)], -1).astype(np.uint8)


def run(transform, images, random=None):
  return transform({"inputs": images}, random)["inputs"]


def test_the_centre_begins_where_torchvisions_does():
  ramp = np.broadcast_to(np.arange(300) % 256, (300, 300)).astype(np.uint8)[..., None]
  for side, left in zip(STORED["centre/sides"], STORED["centre/left"]):
    assert run(CentreCrop(size=224), [ramp[:, :side]])[0][0, 0, 0] == left, side


def test_images_smaller_than_a_crop_are_refused():
  for transform in (CentreCrop(size=20), RandomCrop(size=20)):
    with pytest.raises(ValueError, match="an image of 30 x 19 pixels is smaller than a crop of 20"):
      run(transform, [photo(19, 30)], randomness([0]))


def test_the_evaluation_protocol_keeps_the_aspect_and_the_middle():
  ramp = np.broadcast_to(np.linspace(0, 255, 80)[None, :, None], (40, 80, 3)).astype(np.uint8)
  resized = ResizeShorter(size=20, library="pillow")({"inputs": [ramp, ramp[:, ::-1]]}, None)
  out = CentreCrop(size=20)(resized, None)["inputs"]
  assert out.shape == (2, 20, 20, 3)
  assert abs(out[0].mean() - 127.5) < 1  # the centre of a ramp has its mean, and half its range
  assert abs(int(out[0][0, 0, 0]) - 64) < 5 and abs(int(out[0][0, -1, 0]) - 191) < 5


def test_a_random_crop_takes_every_place_and_the_centre_in_evaluation():
  image = places(7, 9)
  out = run(RandomCrop(size=5), [image] * 1500, randomness(np.arange(1500)))
  assert out.shape == (1500, 5, 5, 3)
  counts = np.bincount(out[:, 0, 0, 0] * 5 + out[:, 0, 0, 1], minlength=15)
  assert len(counts) == 15 and counts.min() > 60
  np.testing.assert_array_equal(out[3] - out[3, 0, 0], places(5, 5))
  np.testing.assert_array_equal(run(RandomCrop(size=5), [image]), run(CentreCrop(size=5), [image]))


def test_random_resized_crops_have_the_stated_areas_and_aspects():
  crop = RandomResizedCrop(size=16, library="opencv")
  shapes = np.tile([[375, 500]], (4000, 1))
  top, left, height, width = crop.boxes(shapes, randomness(np.arange(4000))).T
  area, aspect = height * width / (375 * 500), width / height
  assert area.min() > 0.079 and area.max() <= 1 and aspect.min() > 0.74 and aspect.max() < 1.35
  assert (top >= 0).all() and (top + height <= 375).all() and (left >= 0).all() and (left + width <= 500).all()
  assert abs(np.log(aspect)[area < 0.4].mean()) < 0.02  # larger ones fit more often where they are wide
  # Uniform but for large crops, many of which do not fit.
  small = area[area < 0.5]
  assert abs(small.mean() - 0.29) < 0.01
  free = (height < 300) & (width < 400)
  places = top[free] / (375 - height[free]), left[free] / (500 - width[free])
  assert all(abs(place.mean() - 0.5) < 0.02 for place in places)


def test_where_no_crop_fits_the_centre_of_an_allowed_aspect_is_taken():
  crop = RandomResizedCrop(size=16, library="opencv", area=(1.0, 1.0))
  boxes = crop.boxes(np.array([[30, 300], [300, 30], [50, 50]]), randomness(np.arange(3)))
  np.testing.assert_array_equal(boxes[:2], [[0, 130, 30, 40], [130, 0, 40, 30]])
  assert (boxes[2, 2:] <= 50).all()
  one = crop.boxes(np.array([[1, 1], [1, 20000]]), randomness(np.arange(2)))
  np.testing.assert_array_equal(one[:, 2:], [[1, 1], [1, 1]])


def test_a_random_resized_crop_is_the_part_resized():
  image = photo(90, 120)
  for library in ("pillow", "opencv", "tensorflow"):
    crop = RandomResizedCrop(size=32, library=library)
    random = randomness([3, 4])
    out = run(crop, [image, image[:, ::-1]], random)
    top, left, height, width = crop.boxes(np.array([[90, 120]] * 2), random)[0]
    np.testing.assert_array_equal(out[0], crop.resample(image[top:top + height, left:left + width], (32, 32)))
    assert out.shape == (2, 32, 32, 3) and out.dtype == np.uint8


def test_each_phase_has_its_own_transforms():
  transform = PerPhase(training=(RandomResizedCrop(size=16, library="opencv"), Flip()),
                       evaluation=(ResizeShorter(size=20, library="pillow"), CentreCrop(size=16)))
  image = photo(60, 80)
  trained, evaluated = run(transform, [image], randomness([1])), run(transform, [image])
  assert trained.shape == evaluated.shape == (1, 16, 16, 3)
  np.testing.assert_array_equal(evaluated, run(CentreCrop(size=16), run(ResizeShorter(size=20, library="pillow"), [image])))
  assert difference(trained, evaluated) > 0
  with pytest.raises(ValueError, match="RandomResizedCrop is for training only: put it into PerPhase"):
    run(RandomResizedCrop(size=16, library="opencv"), [image])


def test_ten_crops_are_corners_and_centre_and_their_mirror_images():
  image = places(30, 40)
  views = run(MultiCrop(size=20, scales=(30,), library="opencv"), [image, image])
  assert views.shape == (2, 10, 20, 20, 3)
  corners = [[0, 0], [0, 20], [10, 0], [10, 20], [5, 10]]
  np.testing.assert_array_equal(views[0, :5, 0, 0, :2], corners)
  np.testing.assert_array_equal(views[0, 5:], views[0, :5, :, ::-1])
  np.testing.assert_array_equal(run(MultiCrop(size=20, scales=(30,), crops="five", library="opencv"), [image])[0], views[0, :5])
  np.testing.assert_array_equal(run(MultiCrop(size=20, scales=(30,), crops="centre", library="opencv"), [image])[0, 0],
                                run(CentreCrop(size=20), [image])[0])


def test_several_scales_are_several_views():
  image = photo(50, 70)
  views = run(MultiCrop(size=24, scales=(24, 32, 40), crops="centre", library="pillow"), [image])
  assert views.shape == (1, 3, 24, 24, 3)
  for view, scale in zip(views[0], (24, 32, 40)):
    expected = run(CentreCrop(size=24), run(ResizeShorter(size=scale, library="pillow"), [image]))[0]
    np.testing.assert_array_equal(view, expected)
  assert run(MultiCrop(size=24, scales=(24, 32), library="pillow"), [image]).shape == (1, 20, 24, 24, 3)
  with pytest.raises(ValueError, match="MultiCrop is for evaluation only"):
    run(MultiCrop(size=24, library="pillow"), [image], randomness([0]))


def test_pad_and_crop_shifts_by_at_most_the_padding_and_every_shift_occurs():
  image = np.zeros((2000, 5, 5, 1), np.uint8)
  image[:, 2, 2] = 1
  np.testing.assert_array_equal(run(PadCrop(padding=1), image), image)
  moved = run(PadCrop(padding=1), image, randomness(np.arange(2000)))
  assert moved.shape == image.shape
  _, rows, columns, _ = np.nonzero(moved)
  assert len(rows) == 2000
  counts = np.bincount((rows - 1) * 3 + columns - 1, minlength=9)
  assert len(counts) == 9 and counts.min() > 150


def test_what_fills_the_padding():
  image = np.broadcast_to(places(6, 6)[None] + 10, (200, 6, 6, 3))
  random = randomness(np.arange(200))
  constant = run(PadCrop(padding=2, fill_value=99), image, random)
  assert set(np.unique(constant)) <= {99, 10, *range(10, 16)} and (constant == 99).any()
  mirrored = run(PadCrop(padding=2, fill="reflect"), image, random)
  corner = next(b for b, shift in enumerate(random.integers(2, 5)) if not shift.any())  # the first two are padding
  np.testing.assert_array_equal(mirrored[corner, :, 0, 0], [12, 11, 10, 11, 12, 13])
  inside = constant != 99
  np.testing.assert_array_equal(mirrored[inside], constant[inside])


@pytest.mark.parametrize("wrong, words", [
    (lambda: CentreCrop(size=0), "size=0"), (lambda: RandomResizedCrop(size=4, library="opencv", area=(0.5, 0.2)), "area="),
    (lambda: RandomResizedCrop(size=4, library="opencv", area=(0.0, 1.5)), "area="),
    (lambda: RandomResizedCrop(size=4, library="opencv", aspect=(0.0, 1.0)), "aspect="),
    (lambda: MultiCrop(size=300, library="opencv"), "size=300"), (lambda: PadCrop(padding=-1), "padding=-1"),
    (lambda: ResizeShorter(size=9, largest=8, library="opencv"), "largest=8")])
def test_settings_that_make_no_sense_are_refused(wrong, words):
  with pytest.raises(ValueError, match=words):
    wrong()


def test_the_crops_of_a_seed_never_change():
  boxes = RandomResizedCrop(size=8, library="opencv").boxes(np.array([[100, 200]]), randomness([5], seed=1, epoch=2))
  np.testing.assert_array_equal(boxes, [[0, 77, 96, 85]])
