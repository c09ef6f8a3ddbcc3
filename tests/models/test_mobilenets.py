"""MobileNet v1 and v2: published sizes, rules for widths, and real folded weights on real images."""

import io
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from PIL import Image

from research import rules
from research.config import ConfigError
from research.models import mobilenet_v1, mobilenet_v2
from research.training import state as states

KEY = jax.random.key(0)


def abstract(config, side=224, num_outputs=1000):
  images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  return nnx.split(nnx.eval_shape(lambda: config.build(images, num_outputs, nnx.Rngs(0))), nnx.Param, ...)


def sizes(config, **others):
  _, *states = abstract(config, **others)
  return tuple(sum(p.size for p in jax.tree.leaves(state)) for state in states)


@pytest.mark.parametrize("config,parameters,statistics", [
    (mobilenet_v1.mobilenet_v1(), 4_231_976, 21_888), (mobilenet_v1.mobilenet_v1(width=0.25), 470_072, 5_472),
    (mobilenet_v2.mobilenet_v2(), 3_504_872, 34_112), (mobilenet_v2.mobilenet_v2(width=0.35), 1_677_128, 14_080),
    (mobilenet_v2.mobilenet_v2(width=1.4), 6_108_776, 47_936)])
def test_sizes_are_keras(config, parameters, statistics):
  assert sizes(config) == (parameters, statistics)


def test_folded_there_are_biases_instead_of_norms():
  assert sizes(mobilenet_v1.mobilenet_v1(width=0.25, batch_norm=False), num_outputs=1001) == (467_593, 0)
  assert sizes(mobilenet_v2.mobilenet_v2(batch_norm=False), num_outputs=1001) == (3_489_097, 0)


def test_widths_are_multiples_of_8_and_not_much_less():
  rounded = [mobilenet_v2._multiple_of_8(n) for n in (1, 8, 11.2, 12, 16.8, 22.4, 33.6, 89.6, 134.4, 448, 1792)]
  assert rounded == [8, 8, 16, 16, 16, 24, 32, 88, 136, 448, 1792]
  narrow = abstract(mobilenet_v2.mobilenet_v2(width=0.5))[1]
  assert rules.paths(nnx.to_pure_dict(narrow))["head/kernel"].shape == (1280, 1000)


@pytest.mark.parametrize("config,shape", [
    (mobilenet_v1.mobilenet_v1(), (7, 7, 1024)), (mobilenet_v2.mobilenet_v2(), (7, 7, 1280)),
    (mobilenet_v2.mobilenet_v2(tf_padding=False), (7, 7, 1280))])
def test_maps(config, shape):
  definition, *state = abstract(config)
  x = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
  maps, features = jax.eval_shape(
      lambda state, x: (lambda m: (m.maps(x), m.features(x)))(nnx.merge(definition, *state, copy=True)), state, x)
  assert (maps.shape, features.shape) == ((2, *shape), (2, shape[-1]))


def test_a_projection_is_linear_and_equal_shapes_have_a_shortcut():
  images = jnp.zeros((1, 32, 32, 3))
  blocks = mobilenet_v2.mobilenet_v2(width=0.25).build(images, 2, nnx.Rngs(0)).blocks
  assert [i for i, block in enumerate(blocks) if block.residual] == [0, 2, 4, 5, 7, 8, 9, 11, 12, 14, 15]  # 8 = 8 in the first
  x = jax.random.normal(KEY, (1, 8, 8, 8))
  blocks[2].project.conv.kernel[...] = jnp.zeros_like(blocks[2].project.conv.kernel[...])
  np.testing.assert_array_equal(blocks[2](x), x)


@pytest.mark.parametrize("family,config,side,top1,top5", [
    pytest.param("mobilenet_v2_1.0_224", mobilenet_v2.mobilenet_v2(batch_norm=False), 224, 0.868, 0.970,
                 marks=pytest.mark.heavy),
    ("mobilenet_v1_0.25_128", mobilenet_v1.mobilenet_v1(width=0.25, batch_norm=False), 128, 0.438, 0.716)])
def test_real_weights_classify_real_images(data_dir, family, config, side, top1, top5):
  """The files' layers are numbered in the order in which ours are built; logit 0 is the background."""
  weights = np.load(data_dir / "weights" / family / "weights.npz")
  layers = [layer["name"] for layer in json.loads((data_dir / "weights" / family / "layers.json").read_text())["layers"]
            if f"{layer['name']}/kernel" in weights]
  images = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  definition, params, buffers = jax.eval_shape(lambda: states.split(config.build(images, 1001, nnx.Rngs(0))))
  ours = rules.paths(params)
  order = ("stem", *(f"blocks/{i}/{part}" for i in range(17) for part in ("expand", "depthwise", "pointwise", "project")),
           "last", "head")
  named = {prefix: [p for p in ours if p.startswith(f"{prefix}/")] for prefix in order}
  built = [prefix for prefix in order if named[prefix]]
  assert len(built) == len(layers) and sum(map(len, named.values())) == len(ours)
  values = {path: jnp.asarray(weights[f"{layer}/{path.split('/')[-1]}"]).reshape(ours[path].shape)
            for prefix, layer in zip(built, layers) for path in named[prefix]}
  params = jax.tree.map_with_path(lambda path, _: values[rules.join(path)], params)
  forward = jax.jit(lambda x: states.merge(definition, params, buffers)(x.astype(jnp.float32) / 128 - 1))
  records = dict(np.load(data_dir / "images" / "imagenet_samples" / "half_a.npz"))
  labels = records["label"].astype(int)
  ranks = []
  for first in range(0, len(labels), 50):
    encoded = [records["data"][records["offsets"][i]:records["offsets"][i + 1]].tobytes() for i in range(first, first + 50)]
    opened = [Image.open(io.BytesIO(e)).convert("RGB").crop((16, 16, 240, 240)) for e in encoded]
    resized = np.stack([np.asarray(image.resize((side, side), Image.Resampling.BILINEAR)) for image in opened])
    logits = np.asarray(forward(resized))
    right = logits[np.arange(50), labels[first:first + 50] + 1]
    ranks.append(np.sum(logits > right[:, None], axis=1))
  ranks = np.concatenate(ranks)
  assert (np.mean(ranks < 1), np.mean(ranks < 5)) == (top1, top5)


@pytest.mark.parametrize("make", [
    lambda: mobilenet_v1.mobilenet_v1(width=0.0), lambda: mobilenet_v2.mobilenet_v2(dropout=1.0),
    lambda: mobilenet_v2.mobilenet_v2().build(jax.ShapeDtypeStruct((2, 40), jnp.float32), 2, nnx.Rngs(0))])
def test_impossible_ones_are_refused(make):
  with pytest.raises(ConfigError):
    make()
