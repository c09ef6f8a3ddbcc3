"""Augmentations do to pixels what the references do, and chance belongs to the example and its epoch."""

import concurrent.futures
import pathlib

import numpy as np
import pytest
import scipy.ndimage
from pictures import difference, photo, randomness
from PIL import Image, ImageEnhance

from research.preprocessing import colour, geometry
from research.preprocessing.colour import Brightness, ChannelShift, ColourJitter
from research.preprocessing.crops import PadCrop, RandomCrop, RandomResizedCrop
from research.preprocessing.geometry import Flip, RandomAffine
from research.preprocessing.randaugment import RandAugment
from research.preprocessing.resizing import ResizeShorter
from research.preprocessing.transform import apply

IMAGE = photo()
STORED = dict(np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "images" / "references.npz"))


def run(transform, images, random=None):
  return transform({"inputs": images}, random)["inputs"]


# --- mirroring -------------------------------------------------------------------------------------------------------


def test_alternating_flips_show_both_sides_in_two_epochs():
  image = np.broadcast_to(np.arange(3, dtype=np.uint8)[None, None, :, None], (1000, 2, 3, 1))
  seen = [run(Flip(alternating=True), image, randomness(np.arange(1000), seed=4, epoch=epoch))[:, 0, 0, 0] == 2
          for epoch in range(4)]
  assert 420 < seen[0].sum() < 580
  np.testing.assert_array_equal(seen[1], ~seen[0])
  np.testing.assert_array_equal(seen[2:], seen[:2])
  both = apply((Flip(alternating=True), Flip(alternating=True)), {"inputs": image}, randomness(np.arange(1000), seed=4))
  assert 420 < (both["inputs"][:, 0, 0, 0] == 2).sum() < 580  # each transform draws for itself


def test_flip_mirrors_half():
  image = np.broadcast_to(np.arange(3, dtype=np.uint8)[None, None, :, None], (1000, 2, 3, 1))
  np.testing.assert_array_equal(run(Flip(), image), image)
  flipped = run(Flip(), image, randomness(np.arange(1000)))
  mirrored = flipped[:, 0, 0, 0] == 2
  assert 420 < mirrored.sum() < 580
  np.testing.assert_array_equal(flipped[mirrored], image[mirrored][:, :, ::-1])
  np.testing.assert_array_equal(flipped[~mirrored], image[~mirrored])


def test_both_directions_are_mirrored_apart():
  out = run(Flip(vertical=True), [IMAGE] * 400, randomness(np.arange(400)))
  forms = [IMAGE, IMAGE[:, ::-1], IMAGE[::-1], IMAGE[::-1, ::-1]]
  counts = [sum(np.array_equal(x, form) for x in out) for form in forms]
  assert sum(counts) == 400 and min(counts) > 70
  only = run(Flip(horizontal=False, vertical=True), [IMAGE] * 50, randomness(np.arange(50)))
  assert all(np.array_equal(x, IMAGE) or np.array_equal(x, IMAGE[::-1]) for x in only)


# --- affine ----------------------------------------------------------------------------------------------------------


MODES = {"nearest": "nearest", "constant": "grid-constant", "reflect": "reflect", "wrap": "grid-wrap"}


@pytest.mark.parametrize("fill, mode", MODES.items())
def test_an_affine_map_is_scipys(fill, mode):
  matrix = geometry.about_centre(geometry.affine_matrix(angle=0.5, shift=(7.3, -4.6), shear=0.3, zoom=(0.8, 1.3)), 60, 80)
  ours = geometry.warp(IMAGE, matrix, fill=fill, fill_value=40)
  swapped = matrix[:2, :2][::-1, ::-1], matrix[:2, 2][::-1]  # SciPy counts rows first
  reference = np.stack([scipy.ndimage.affine_transform(IMAGE[..., c].astype(float), *swapped, order=1, mode=mode, cval=40)
                        for c in range(3)], -1)
  assert np.abs(ours - reference).max() < 0.51


def test_each_part_of_an_affine_map_is_what_its_name_says():
  move = lambda image=IMAGE, *, angle=0.0, shift=(0, 0), shear=0.0, zoom=(1, 1): geometry.warp(
      image, geometry.about_centre(geometry.affine_matrix(angle=angle, shift=shift, shear=shear, zoom=zoom), *image.shape[:2]),
      fill="nearest")
  np.testing.assert_array_equal(move(), IMAGE)
  np.testing.assert_array_equal(move(IMAGE[:, :60], angle=np.pi / 2), np.rot90(IMAGE[:, :60]))
  np.testing.assert_array_equal(move(shift=(5, 3))[:-3, :-5], IMAGE[3:, 5:])
  np.testing.assert_array_equal(move(IMAGE[:, :79], zoom=(3, 1))[:, 26:53], IMAGE[:, :79][:, ::3])  # above 1 shrinks
  sheared = move(IMAGE[:59], shear=0.2)  # the middle row stays, others move sideways
  np.testing.assert_array_equal(sheared[29], IMAGE[29])
  rows = 29 + (np.arange(59) - 29) * np.cos(0.2)
  columns = 40 - np.sin(0.2) * (np.arange(59) - 29)
  expected = scipy.ndimage.map_coordinates(IMAGE[:59, :, 0].astype(float), [rows, columns], order=1)
  assert np.abs(sheared[:, 40, 0] - expected).max() < 0.51


def test_random_affine_maps_stay_within_their_limits():
  """A dot shows where the map sends it."""
  dot = np.zeros((61, 61, 1), np.uint8)
  dot[30, 40] = 255
  random = randomness(np.arange(500))

  def found(**settings):
    out = run(RandomAffine(fill="constant", **settings), [dot] * 500, random)[..., 0].astype(float)
    mass = out.sum((1, 2))
    return (out.sum(2) @ np.arange(61)) / mass, (out.sum(1) @ np.arange(61)) / mass

  np.testing.assert_array_equal(run(RandomAffine(), [dot], randomness([0])), [dot])
  rows, columns = found(rotation=90)
  np.testing.assert_allclose(np.hypot(rows - 30, columns - 30), 10, atol=0.5)
  angles = np.degrees(np.arctan2(rows - 30, columns - 30))
  assert angles.min() > -93 and angles.max() < 93 and abs(angles.std() - 90 / np.sqrt(3)) < 4
  rows, columns = found(height_shift=0.2)
  assert np.abs(columns - 40).max() < 1e-9 and 11 < np.abs(rows - 30).max() < 12.3
  rows, columns = found(width_shift=0.1)
  assert np.abs(rows - 30).max() < 1e-9 and 5.5 < np.abs(columns - 40).max() < 6.2
  rows, columns = found(zoom=(0.5, 0.8))  # below 1 enlarges
  assert np.abs(rows - 30).max() < 0.6 and columns.min() > 30 + 10 / 0.8 - 0.6 and columns.max() < 30 + 10 / 0.5 + 0.6


# --- colour ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.73, 1.0, 1.9, 2.8])
@pytest.mark.parametrize("ours, theirs", [
    (colour.brightness, ImageEnhance.Brightness), (colour.contrast, ImageEnhance.Contrast),
    (colour.saturation, ImageEnhance.Color)])
def test_enhancements_are_pillows(ours, theirs, factor):
  assert difference(ours(IMAGE, factor), theirs(Image.fromarray(IMAGE)).enhance(factor)) <= 1


def test_hue_turns_the_colour_circle():
  for turn in (-0.4, 0.1, 0.5):
    np.testing.assert_array_equal(colour.hue(STORED["image"], turn), STORED[f"torchvision/hue/{turn}"])


def test_brightness_and_channel_shift_are_keras():
  images = np.stack([IMAGE] * 300)
  bright = run(Brightness(factor=(0.5, 1.5)), images, randomness(np.arange(300)))
  ratio = bright.mean((1, 2, 3)) / IMAGE.mean()
  assert ratio.min() < 0.55 and 1.25 < ratio.max() < 1.5 and ratio.std() > 0.2
  dim = IMAGE // 2 + 40
  shifted = run(ChannelShift(limit=30), np.stack([dim] * 300), randomness(np.arange(300)))
  assert shifted.min() == dim.min() and shifted.max() == dim.max()
  moved = np.median(shifted.astype(int) - dim, axis=(1, 2, 3))
  assert moved.min() < -27 and moved.max() > 27 and np.abs(moved).max() <= 30
  amount = int(moved[0])
  np.testing.assert_array_equal(shifted[0], np.clip(dim.astype(int) + amount, dim.min(), dim.max()))


def test_jitter_changes_only_what_it_is_asked_to():
  images = [IMAGE] * 100
  np.testing.assert_array_equal(run(ColourJitter(), images, randomness(np.arange(100))), images)
  pale = IMAGE // 3 + 80  # so that nothing reaches black or white
  out = run(ColourJitter(saturation=0.4), [pale] * 100, randomness(np.arange(100)))
  assert all(difference(colour.luma(x), colour.luma(pale)) <= 2 for x in out)
  assert max(difference(x, pale) for x in out) > 20
  assert len({x.tobytes() for x in run(ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1), images,
                                        randomness(np.arange(100)))}) == 100


def test_grey_images_go_through_everything():
  grey = [IMAGE[..., :1]] * 64
  for transform in EVERYTHING:
    out = run(transform, grey, randomness(np.arange(64)))
    assert all(image.dtype == np.uint8 and image.ndim == 3 and image.shape[-1] == 1 for image in out)


@pytest.mark.parametrize("wrong, words", [
    (lambda: RandomAffine(rotation=-1.0), "rotation=-1.0"), (lambda: RandomAffine(zoom=(1.2, 0.8)), "zoom="),
    (lambda: RandomAffine(shear=90.0), "shear=90"), (lambda: Brightness(factor=(-1.0, 1.0)), "factor="),
    (lambda: ColourJitter(hue=0.6), "hue=0.6"), (lambda: ChannelShift(limit=-1.0), "limit=-1"),
    (lambda: RandAugment(num_layers=0), "num_layers=0")])
def test_settings_that_make_no_sense_are_refused(wrong, words):
  with pytest.raises(ValueError, match=words):
    wrong()


# --- chance ----------------------------------------------------------------------------------------------------------


EVERYTHING = [
    Flip(vertical=True), RandomAffine(rotation=20, height_shift=0.1, width_shift=0.1, shear=10, zoom=(0.8, 1.2)),
    Brightness(factor=(0.5, 1.5)), ChannelShift(limit=40), ColourJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
    RandAugment(num_layers=2, magnitude=12), PadCrop(padding=3, fill="reflect"), RandomCrop(size=40),
    RandomResizedCrop(size=24, library="opencv"), ResizeShorter(size=50, largest=55, library="opencv")]


@pytest.mark.parametrize("transform", EVERYTHING, ids=lambda t: type(t).__name__)
def test_an_examples_pixels_follow_from_example_and_epoch_alone(transform):
  examples = np.arange(12)
  images = [photo(60, 80, seed) for seed in examples]
  together = run(transform, images, randomness(examples))
  before = [image.copy() for image in images]
  for order in (examples[::-1], examples[3:9], np.array([7])):  # whatever batch they are in
    part = run(transform, [images[n] for n in order], randomness(order))
    for n, image in zip(order, part):
      np.testing.assert_array_equal(image, together[n])
  as_array = run(transform, np.stack(images), randomness(examples))  # and however it is held
  assert all(np.array_equal(a, b) for a, b in zip(as_array, together))
  assert all(np.array_equal(a, b) for a, b in zip(images, before))  # what was given is not written to
  other_epoch, other_seed = (run(transform, images, randomness(examples, **change)) for change in ({"epoch": 1}, {"seed": 1}))
  for other in (other_epoch, other_seed):
    assert any(a.shape != b.shape or (a != b).any() for a, b in zip(other, together))


def test_threads_change_nothing():
  images = [photo(60, 80, seed) for seed in range(8)]
  chain = EVERYTHING[:6]
  work = lambda n: apply(chain, {"inputs": [images[n % 8]]}, randomness([n], epoch=n % 3))["inputs"][0]
  alone = [work(n) for n in range(48)]
  with concurrent.futures.ThreadPoolExecutor(4) as pool:
    for ours, theirs in zip(pool.map(work, range(48)), alone):
      np.testing.assert_array_equal(ours, theirs)


def test_outside_training_augmentations_do_nothing():
  for transform in EVERYTHING[:7]:
    assert run(transform, [IMAGE])[0] is IMAGE
