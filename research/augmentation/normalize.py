"""Pixels to what a network was trained on."""

import dataclasses

import jax.numpy as jnp

from research.augmentation.base import OnDevice
from research.config import ConfigError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Normalize(OnDevice):
  """(pixel − mean) / std, in float32.

  Attributes:
    mean: of each channel (or of all), in grey levels 0 to 255.
    std: likewise.
    bgr: turn RGB around, before mean and std; those are then of blue, green, red.
    name: the feature with the images, (..., C).
  """

  mean: tuple[float, ...]
  std: tuple[float, ...]
  bgr: bool = False
  name: str = "inputs"

  def __post_init__(self):
    if len(self.mean) != len(self.std) or not all(s > 0 for s in self.std):
      raise ConfigError(f"mean={self.mean}, std={self.std}: must be as many, and std above 0")

  def __call__(self, batch, key):
    x = batch[self.name]
    if len(self.mean) not in (1, x.shape[-1]):
      raise ConfigError(f"Normalize: {len(self.mean)} means for images of {x.shape[-1]} channels")
    x = x[..., ::-1] if self.bgr else x
    # One multiplication and one addition for each pixel.
    std = jnp.array(self.std, jnp.float32)
    return {**batch, self.name: x.astype(jnp.float32) * (1 / std) - jnp.array(self.mean, jnp.float32) / std}


def torch() -> Normalize:
  """0 to 1, then ImageNet's mean and standard deviation: torchvision, timm, Hugging Face's ResNet, ConvNeXt and DeiT."""
  return Normalize(mean=tuple(255 * m for m in IMAGENET_MEAN), std=tuple(255 * s for s in IMAGENET_STD))


def caffe() -> Normalize:
  """BGR minus ImageNet's mean, not scaled: Keras' "caffe" mode, VGG16, VGG19 and ResNet-50."""
  return Normalize(mean=(103.939, 116.779, 123.68), std=(1.0,) * 3, bgr=True)


def signed() -> Normalize:
  """−1 to 1: Keras' "tf" mode (MobileNet), big_vision, Google's ViT and Mixer."""
  return Normalize(mean=(127.5,), std=(127.5,))


def quantized() -> Normalize:
  """pixel / 128 − 1: TensorFlow Lite's 8-bit MobileNets."""
  return Normalize(mean=(128.0,), std=(128.0,))


def unit() -> Normalize:
  """0 to 1."""
  return Normalize(mean=(0.0,), std=(255.0,))
