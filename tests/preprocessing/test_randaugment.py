"""Every operation of RandAugment is Pillow's, at the strengths of the reference code."""

import numpy as np
import pytest
from pictures import difference, photo, randomness
from PIL import Image, ImageEnhance, ImageOps

from research.preprocessing import randaugment
from research.preprocessing.randaugment import NAMES, RandAugment, apply_operation

IMAGE = photo(112, 96)
GREY = (128, 128, 128)


def affine(picture, *values):
  return picture.transform(picture.size, Image.Transform.AFFINE, values, Image.Resampling.NEAREST, fillcolor=GREY)


def solarize_add(picture, added):
  return picture.point([min(255, v + added) if v < 128 else v for v in range(256)] * 3)


# What each operation is for Pillow, at a strength: 1 is magnitude 10.
PILLOW = {
    "autocontrast": lambda p, level: ImageOps.autocontrast(p), "equalize": lambda p, level: ImageOps.equalize(p),
    "invert": lambda p, level: ImageOps.invert(p), "rotate": lambda p, level: p.rotate(30 * level, fillcolor=GREY),
    "posterize": lambda p, level: ImageOps.posterize(p, int(4 * level)) if level >= 0.25 else p.point(lambda v: 0),
    "solarize": lambda p, level: ImageOps.solarize(p, int(256 * level)),
    "solarize_add": lambda p, level: solarize_add(p, int(110 * level)),
    "color": lambda p, level: ImageEnhance.Color(p).enhance(1.8 * level + 0.1),
    "contrast": lambda p, level: ImageEnhance.Contrast(p).enhance(1.8 * level + 0.1),
    "brightness": lambda p, level: ImageEnhance.Brightness(p).enhance(1.8 * level + 0.1),
    "sharpness": lambda p, level: ImageEnhance.Sharpness(p).enhance(1.8 * level + 0.1),
    "shear_x": lambda p, level: affine(p, 1, 0.3 * level, 0, 0, 1, 0),
    "shear_y": lambda p, level: affine(p, 1, 0, 0, 0.3 * level, 1, 0),
    "translate_x": lambda p, level: affine(p, 1, 0, 100 * level, 0, 1, 0),
    "translate_y": lambda p, level: affine(p, 1, 0, 0, 0, 1, 100 * level),
}


@pytest.mark.parametrize("level", [0.2, 0.5, 0.9, 1.0, 1.4])
@pytest.mark.parametrize("name", PILLOW)
def test_operations_are_pillows(name, level):
  ours, theirs = apply_operation(name, IMAGE, level), np.asarray(PILLOW[name](Image.fromarray(IMAGE), level))
  assert ours.dtype == np.uint8
  if name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):  # a pixel halfway may go to either neighbour
    assert (ours != theirs).any(-1).mean() < 0.002
  else:
    assert difference(ours, theirs) <= 1


def test_operations_with_a_direction_go_both_ways():
  for name in ("rotate", "shear_x", "shear_y", "translate_x", "translate_y"):
    other = np.asarray(PILLOW[name](Image.fromarray(IMAGE), -0.5))
    assert (apply_operation(name, IMAGE, 0.5, sign=-1) != other).any(-1).mean() < 0.002


def test_cutout_covers_a_grey_square():
  out = apply_operation("cutout", IMAGE, 0.5, place=(0.5, 0.0))
  changed = (out != IMAGE).any(-1)
  expected = np.zeros((112, 96), bool)
  expected[56 - 20:56 + 20, :20] = True
  assert not (changed & ~expected).any() and (out[expected] == 128).all()


def test_an_image_of_one_colour_survives_everything():
  for shape in ((5, 5, 3), (1, 1, 3), (1, 1, 1), (2, 9, 1)):
    flat = np.full(shape, 77, np.uint8)
    for name in NAMES:
      assert apply_operation(name, flat, 1.0).shape == shape
  np.testing.assert_array_equal(apply_operation("equalize", flat, 1.0), flat)
  np.testing.assert_array_equal(apply_operation("autocontrast", flat, 1.0), flat)


def test_every_operation_is_drawn_equally_often_and_one_after_another(monkeypatch):
  drawn = []
  monkeypatch.setattr(randaugment, "apply_operation",
                      lambda name, image, level, **chance: drawn.append((name, level, chance["sign"])) or image)
  RandAugment(num_layers=2, magnitude=15)({"inputs": [IMAGE] * 1600}, randomness(np.arange(1600)))
  assert len(drawn) == 3200 and {level for _, level, _ in drawn} == {1.5}
  counts = np.array([sum(name == n for n, _, _ in drawn) for name in NAMES])
  assert len(NAMES) == 16 and ((counts - 200) ** 2 / 200).sum() < 38  # chi-squared, 15 degrees of freedom: p = 1e-3
  assert 0.45 < np.mean([sign > 0 for _, _, sign in drawn]) < 0.55
  pairs = np.array([[NAMES.index(drawn[n][0]), NAMES.index(drawn[n + 1][0])] for n in range(0, 3200, 2)])
  assert abs(np.corrcoef(pairs.T)[0, 1]) < 0.08
