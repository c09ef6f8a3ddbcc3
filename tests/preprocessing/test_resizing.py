"""Resizing is what the named library gives: Pillow and OpenCV by calling them, the others by stored results."""

import pathlib

import cv2
import numpy as np
import pytest
from pictures import difference, photo, randomness
from PIL import Image

from research.preprocessing import tensorflow_resize
from research.preprocessing.resizing import Resize, ResizeShorter

STORED = dict(np.load(pathlib.Path(__file__).parents[1] / "fixtures" / "images" / "references.npz"))
SIZES = ((9, 14), (12, 40), (30, 50), (31, 23), (1, 1))
TENSORFLOW = [("bilinear", False), ("bilinear", True), ("bicubic", False), ("bicubic", True), ("area", False),
              ("nearest", False)]


def resized(image, size, **settings):
  return Resize(size=size, **settings)({"inputs": [image]}, None)["inputs"][0]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation, antialias", TENSORFLOW)
def test_tensorflow(interpolation, antialias, size):
  image = STORED["image"]
  stored = STORED[f"tensorflow/{interpolation}/{'antialias' if antialias else 'plain'}/{size[0]}x{size[1]}"]
  np.testing.assert_allclose(tensorflow_resize.resize(image, size, interpolation, antialias), stored, atol=2e-3, rtol=0)
  ours = resized(image, size, library="tensorflow", interpolation=interpolation, antialias=antialias or None)
  assert np.abs(ours - np.clip(stored, 0, 255)).max() <= 0.502


@pytest.mark.parametrize("size", SIZES)
def test_kerass_layer_is_tensorflows_plain_bilinear(size):
  ours = resized(STORED["image"], size, library="tensorflow")
  assert np.abs(ours - STORED[f"keras/{size[0]}x{size[1]}"]).max() <= 0.502


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_torchvision_with_antialias_is_pillow(interpolation, size):
  ours = resized(STORED["image"], size, library="pillow", interpolation=interpolation)
  assert difference(ours, STORED[f"torchvision/{interpolation}/{size[0]}x{size[1]}"]) <= 1


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "area", "nearest"])
def test_pillow_and_opencv(interpolation, channels):
  image = photo()[..., :channels]
  squeezed = image[..., 0] if channels == 1 else image
  filters = {"bilinear": "BILINEAR", "bicubic": "BICUBIC", "area": "BOX", "nearest": "NEAREST"}
  pillow = np.asarray(Image.fromarray(squeezed).resize((31, 22), Image.Resampling[filters[interpolation]]))
  flags = {"bilinear": "LINEAR", "bicubic": "CUBIC", "area": "AREA", "nearest": "NEAREST"}
  opencv = cv2.resize(squeezed, (31, 22), interpolation=getattr(cv2, f"INTER_{flags[interpolation]}"))
  for library, reference in (("pillow", pillow), ("opencv", opencv)):
    ours = resized(image, (22, 31), library=library, interpolation=interpolation)
    np.testing.assert_array_equal(ours, reference.reshape(22, 31, channels))


def test_the_libraries_differ_where_images_shrink():
  """Why the library is named: without antialias a fine pattern turns into another one instead of grey."""
  stripes = np.repeat(np.tile(np.array([0, 0, 255, 255], np.uint8), 40)[None, :, None], 160, 0).repeat(3, -1)
  spread = {library: resized(stripes, (20, 20), library=library)[5:-5, 5:-5].std() for library in ("pillow", "opencv")}
  assert spread["pillow"] < 10
  fine = photo(200, 200)
  assert difference(resized(fine, (50, 50), library="pillow"), resized(fine, (50, 50), library="opencv")) > 10


def test_what_a_library_cannot_do_is_refused():
  for library, interpolation, antialias in (("opencv", "bilinear", True), ("pillow", "bilinear", False),
                                            ("tensorflow", "area", True), ("pillow", "nearest", True)):
    words = f"library={library} cannot do interpolation={interpolation} with antialias={antialias}"
    with pytest.raises(ValueError, match=words):
      Resize(size=(4, 4), library=library, interpolation=interpolation, antialias=antialias)


def test_the_longer_side_is_rounded_as_torchvision_does():
  for shape, expected in zip(STORED["shorter/shapes"], STORED["shorter/resized"]):
    image = np.zeros((*shape, 3), np.uint8)
    (ours,) = ResizeShorter(size=256, library="opencv")({"inputs": [image]}, None)["inputs"]
    assert ours.shape == (*expected, 3)


def test_the_shorter_side_varies_in_training_where_that_is_asked_for():
  transform = ResizeShorter(size=20, largest=24, library="opencv")
  images = [photo(30, 40)] * 400
  assert {image.shape for image in transform({"inputs": images}, None)["inputs"]} == {(20, 26, 3)}
  heights = [image.shape[0] for image in transform({"inputs": images}, randomness(np.arange(400)))["inputs"]]
  assert set(heights) == {20, 21, 22, 23, 24} and np.bincount(heights)[20:].min() > 50


def test_a_thin_image_that_would_become_huge_is_refused():
  with pytest.raises(ValueError, match="an image of 20000 x 1 pixels would become one of 5120000 x 256"):
    ResizeShorter(size=256, library="opencv")({"inputs": [np.zeros((1, 20000, 3), np.uint8)]}, None)


def test_what_is_no_image_of_bytes_is_refused():
  for wrong in (np.zeros((2, 4, 4, 3), np.float32), np.zeros((2, 4, 4), np.uint8), [np.zeros((4, 4, 2), np.uint8)]):
    with pytest.raises(ValueError, match=r"Resize: 'inputs' is .*, no image of \(H, W, 1\) or \(H, W, 3\) uint8"):
      Resize(size=(2, 2), library="opencv")({"inputs": wrong}, None)


def test_an_image_of_the_right_size_stays_as_it_is():
  image = photo(20, 30)
  for library in ("pillow", "opencv", "tensorflow"):
    np.testing.assert_array_equal(resized(image, (20, 30), library=library, interpolation="bicubic"), image)
