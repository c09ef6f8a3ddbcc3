"""Transforms on the device: what they mean, and that a compiled step applies them in training only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.augmentation import normalize
from research.augmentation.base import apply
from research.augmentation.erasing import RandomErasing
from research.augmentation.mixing import CutMix, Either, Mixup
from research.augmentation.views import ShiftedMirrors
from research.config import ConfigError

KEY = jax.random.key(0)


def batch(num=8, side=16, dtype=np.float32):
  rng = np.random.default_rng(0)
  return {"inputs": rng.integers(0, 256, (num, side, side, 3)).astype(dtype), "labels": np.arange(num, dtype=np.int32),
          "mask": np.ones(num, np.float32)}


@pytest.mark.parametrize("transform", [Mixup(alpha=0.4), CutMix(), RandomErasing(probability=1.0),
                                       Either(first=Mixup(alpha=0.4), second=CutMix())])
def test_nothing_happens_outside_training(transform):
  made = batch()
  np.testing.assert_array_equal(transform(made, None)["inputs"], made["inputs"])


def test_the_modes_of_the_weights():
  x = batch(dtype=np.uint8)
  rgb = x["inputs"].astype(np.float64)
  seen = lambda transform: transform(x, None)["inputs"]
  np.testing.assert_allclose(seen(normalize.signed()), rgb / 127.5 - 1, atol=1e-5)
  np.testing.assert_allclose(seen(normalize.quantized()), rgb / 128 - 1, atol=1e-5)
  np.testing.assert_allclose(seen(normalize.caffe()), rgb[..., ::-1] - [103.939, 116.779, 123.68], atol=1e-4)
  np.testing.assert_allclose(seen(normalize.torch()), (rgb / 255 - normalize.IMAGENET_MEAN) / normalize.IMAGENET_STD, atol=1e-5)


def test_means_must_fit_the_channels():
  with pytest.raises(ConfigError, match="3 means for images of 1 channel"):
    normalize.torch()({"inputs": np.zeros((1, 2, 2, 1), np.uint8)}, None)


@pytest.mark.parametrize("per_example", [False, True])
def test_mixup_is_the_straight_line_between_two_examples(per_example):
  made = batch()
  out = Mixup(alpha=0.4, per_example=per_example)(made, KEY)
  share = np.asarray(out["mixed_share"])
  assert len(np.unique(share)) == (8 if per_example else 1) and np.all((share > 0) & (share < 1))
  other = made["inputs"][out["mixed_labels"]]  # labels are places
  line = made["inputs"] + share[:, None, None, None] * (other - made["inputs"])
  np.testing.assert_allclose(out["inputs"], line, rtol=1e-5)


def test_the_share_of_cutmix_is_the_area_that_was_cut():
  made = batch(num=64)
  out = jax.jit(lambda b: CutMix(per_example=True)(b, KEY))(made)
  changed = np.any(np.asarray(out["inputs"]) != made["inputs"], axis=-1)
  other = made["inputs"][out["mixed_labels"]]
  np.testing.assert_array_equal(np.asarray(out["inputs"])[changed], other[changed])
  np.testing.assert_allclose(out["mixed_share"], changed.mean((1, 2)), atol=0.01)  # two pixels may be alike
  assert 0.2 < changed.mean() < 0.5  # uniform shares, some of it outside


@pytest.mark.parametrize("transform", [Mixup(alpha=0.4), CutMix(per_example=True)])
def test_nothing_is_mixed_with_a_broken_record(transform):
  made = batch()
  made["mask"][-2:] = 0  # the partners of the first two
  out = transform(made, KEY)
  np.testing.assert_array_equal(out["inputs"][:2], made["inputs"][:2])
  assert not np.any(out["mixed_share"][:2]) and np.any(out["inputs"][2:-2] != made["inputs"][2:-2])


def test_erasing_leaves_a_rectangle_of_zeros_of_the_wanted_area():
  made = {**batch(num=200, side=32), "inputs": np.ones((200, 32, 32, 3), np.float32)}
  out = np.asarray(RandomErasing(probability=0.5, area=(0.1, 0.2))(made, KEY)["inputs"])
  gone = (out == 0).all(-1)
  erased = gone.any((1, 2))
  assert 70 < erased.sum() < 130
  for image in gone[erased]:
    rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
    assert image[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1].all() and image.mean() < 0.22


def test_each_transform_has_a_key_of_its_own():
  made = {**batch(), "inputs": np.ones((8, 16, 16, 3), np.float32)}
  once, twice = RandomErasing(probability=1.0), (RandomErasing(probability=1.0),) * 2
  assert jnp.sum(apply(twice, made, KEY)["inputs"]) < jnp.sum(apply((once,), made, KEY)["inputs"])


def test_shifted_mirrors_weigh_the_views_as_airbench_does():
  """Half of the weight on the image and its mirror image, a quarter on each shift; reflected pixels come in."""
  made = batch(num=2, side=6)
  x = made["inputs"]
  views = np.asarray(ShiftedMirrors()(made, None)["inputs"])
  assert views.shape == (2, 8, 6, 6, 3)
  np.testing.assert_array_equal(ShiftedMirrors()(made, KEY)["inputs"], x)
  np.testing.assert_array_equal(views[:, 4:], views[:, :4, :, ::-1])
  np.testing.assert_array_equal(views[:, 0], x)
  np.testing.assert_array_equal(views[:, 1], x)
  np.testing.assert_array_equal(views[:, 2, :-1, :-1], x[:, 1:, 1:])
  np.testing.assert_array_equal(views[:, 2, -1, :-1], x[:, -2, 1:])  # below the last row: the one above it
  np.testing.assert_array_equal(views[:, 3, 1:, 1:], x[:, :-1, :-1])
