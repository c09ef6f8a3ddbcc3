"""Networks with weights of other libraries give what those libraries gave for the same images."""

import dataclasses
import functools
import gzip
import json
import pathlib
import sys

import jax
import numpy as np
import pytest
from flax import nnx

from research.models import convnext, mixer, mobilenet_v1, mobilenet_v2, resnet, vgg, vit
from research.pretrained import mapping
from research.pretrained.files import Tensor, WeightsFile, open_weights
from research.pretrained.weights import Pretrained, export
from research.rules import paths
from research.training.state import merge, split

FIXTURES = pathlib.Path(__file__).parents[1] / "fixtures" / "pretrained"
sys.path.append(str(FIXTURES))
from values import images, value  # noqa: E402  the scripts that made the fixtures use it too

VIT = {"patch": 8, "dim": 16, "num_layers": 2, "num_heads": 2, "mlp_dim": 32}
FLAX = {**VIT, "activation": "gelu_tanh"}
KERAS_RESNET = resnet.resnet50_keras(channels=(2, 4, 8, 16))
CASES = {
    "hf_vit": (vit.Config(**VIT, norm_eps=1e-12), 16),
    "hf_vit_tanh_no_bias": (vit.Config(**VIT, norm_eps=1e-3, activation="gelu_tanh", qkv_bias=False), 16),
    "hf_deit": (vit.Config(**VIT, norm_eps=1e-12, distillation_token=True), 16),
    "hf_resnet_basic": (resnet.Config(depths=(2, 1), channels=(8, 16), bottleneck=False), 32),
    "hf_resnet_bottleneck": (resnet.Config(depths=(2, 2), channels=(4, 8)), 32),
    "hf_convnext": (convnext.Config(depths=(1, 2), dims=(8, 16)), 32),
    "timm_vit": (vit.Config(**VIT), 16),
    "timm_vit_mean": (vit.Config(**VIT, pool="mean"), 16),
    "timm_vit_map": (vit.Config(**VIT, pool="map", class_token=False, qkv_bias=False), 16),
    "timm_deit": (vit.Config(**VIT, distillation_token=True), 16),
    "timm_convnext": (convnext.Config(depths=(1, 2, 1, 1), dims=(4, 4, 8, 8)), 32),
    "timm_mixer": (mixer.Config(patch=8, dim=16, num_layers=2, token_dim=8, channel_dim=64), 32),
    "npz_augreg": (vit.Config(**FLAX), 16),
    "npz_big_vision_mean": (vit.Config(**FLAX, pool="mean", class_token=False), 16),
    "npz_big_vision_map": (vit.Config(**FLAX, pool="map", class_token=False), 16),
    "npz_mixer": (mixer.Config(patch=8, dim=16, num_layers=2, token_dim=8, channel_dim=64, activation="gelu_tanh"), 16),
}


# Networks of real size, whose values follow from the names: (configuration, side, attribute that is called).
NAMED = {
    "keras/vgg19_notop": (vgg.vgg19(widths=()), 32, "maps"),
    "keras/resnet50_real": (resnet.resnet50_keras(), 64, "__call__"),
    "keras/mobilenet_v1": (mobilenet_v1.mobilenet_v1(width=0.25), 64, "__call__"),
    "keras/mobilenet_v2": (mobilenet_v2.mobilenet_v2(width=0.35), 64, "__call__"),
    "torchvision/resnet18": (resnet.resnet18(), 64, "__call__"),
    "torchvision/resnet50": (resnet.resnet50(), 64, "__call__"),
    "torchvision/mobilenet_v2": (mobilenet_v2.mobilenet_v2(norm_eps=1e-5, tf_padding=False), 64, "__call__"),
    "timm/resnet50": (resnet.resnet50(), 64, "__call__"),
}

# What the libraries have for ImageNet's 1,000 classes.
PUBLISHED = {
    "keras/vgg16": vgg.vgg16(),
    "keras/vgg19": vgg.vgg19(),
    "keras/resnet50": resnet.resnet50_keras(),
    "keras/mobilenet_v1": mobilenet_v1.mobilenet_v1(),
    "keras/mobilenet_v2": mobilenet_v2.mobilenet_v2(),
    "hf/vit_b": vit.vit_b(),
    "hf/deit_b": vit.vit_b(distillation_token=True),
    "hf/resnet18": resnet.resnet18(),
    "hf/resnet50": resnet.resnet50(),
    "hf/convnext_t": convnext.convnext_t(),
    "timm/vit_tiny_patch16_224": vit.vit_ti(),
    "timm/vit_small_patch16_224": vit.vit_s(),
    "timm/vit_base_patch16_224": vit.vit_b(),
    "timm/vit_large_patch16_224": vit.vit_l(),
    "timm/deit_small_distilled_patch16_224": vit.vit_s(distillation_token=True),
    **{f"{lib}/resnet{n}": getattr(resnet, f"resnet{n}")() for n in (18, 34, 50, 101) for lib in ("timm", "torchvision")},
    "timm/convnext_tiny": convnext.convnext_t(),
    "timm/convnext_small": convnext.convnext_s(),
    "timm/convnext_base": convnext.convnext_b(scan=True),
    "timm/convnext_large": convnext.convnext_l(),
    "timm/mixer_s16_224": mixer.mixer_s(),
    "timm/mixer_b16_224": mixer.mixer_b(scan=False),
    "timm/mixer_l16_224": mixer.mixer_l(),
    "torchvision/mobilenet_v2": mobilenet_v2.mobilenet_v2(norm_eps=1e-5, tf_padding=False),
}


def network(config, side, num_outputs=5):
  images = jax.ShapeDtypeStruct((2, side, side, 3), "float32")
  return jax.eval_shape(lambda: split(config.build(images, num_outputs, nnx.Rngs(0))))


def leaves(params, buffers):
  return {**paths(params), **paths(buffers)}


def fixture(name: str, folder) -> pathlib.Path:
  """A fixture file, unpacked if it is packed."""
  packed = FIXTURES / f"{name}.gz"
  if not packed.exists():
    return FIXTURES / name
  path = folder / name
  path.write_bytes(gzip.decompress(packed.read_bytes()))
  return path


def path_of(name: str) -> tuple[pathlib.Path, str]:
  """The file of a case, and whose names it has."""
  kind, _, rest = name.partition("_")
  if kind == "npz":
    return FIXTURES / f"{name}.npz", "augreg" if rest in ("augreg", "mixer") else "big_vision"
  return FIXTURES / f"{name}.safetensors", kind


def load(name, config, side, path=None, **kwargs):
  """(definition, params, buffers) with the weights of a case."""
  own, names = path_of(name)
  definition, params, buffers = network(config, side)
  return definition, *Pretrained(path=str(path or own), names=names, **kwargs).load(None, config, params, buffers)[:2]


def run(definition, params, buffers, side, method="__call__"):
  """In one program, as in training: operation by operation, compiling takes a minute."""
  return jax.jit(lambda p, b, x: getattr(merge(definition, p, b), method)(x))(params, buffers, images(side))


def stored(name):
  kind, _, rest = name.partition("_")
  kind, key = (kind, rest) if kind in ("npz", "keras") else ("torch", name)
  return np.load(FIXTURES / f"{kind}_outputs.npz")[key]


def published(library: str) -> dict[str, list]:
  return json.loads(gzip.decompress((FIXTURES / f"{library}_names.json.gz").read_bytes()))


def close(ours, theirs):
  """At 1e-5 of the largest output."""
  np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("name", CASES)
def test_files_of_the_libraries(name):
  config, side = CASES[name]
  close(run(*load(name, config, side), side), stored(name))


@pytest.mark.parametrize("name", ["timm_vit", "timm_convnext", "timm_mixer"])
def test_stacked_and_separate_layers_are_filled_alike(name):
  config, side = CASES[name]
  config = dataclasses.replace(config, scan=not config.scan)
  close(run(*load(name, config, side), side), stored(name))


def test_position_embeddings_of_another_resolution_are_resampled():
  close(run(*load("timm_vit", CASES["timm_vit"][0], 32), 32), stored("timm_vit_larger"))


@pytest.mark.parametrize("file", ["keras_vgg16.h5", "keras_vgg16.weights.h5"])
def test_keras_vgg_of_both_file_forms(file, tmp_path):
  config = vgg.vgg16(channels=(2, 2, 4, 8, 8), widths=(64, 64))
  model = load("keras_vgg16", config, 32, fixture(file, tmp_path))
  close(run(*model, 32), stored("keras_vgg16"))


def test_keras_resnet(tmp_path):
  model = load("keras_resnet50", KERAS_RESNET, 32, fixture("keras_resnet50.weights.h5", tmp_path))
  close(run(*model, 32), stored("keras_resnet50"))


QUICK = "keras/mobilenet_v2"


@pytest.mark.parametrize("name", [name if name == QUICK else pytest.param(name, marks=pytest.mark.heavy) for name in NAMED])
def test_networks_of_real_size(name):
  config, side, method = NAMED[name]
  definition, params, buffers = network(config, side)
  table = config.tables()[name.partition("/")[0]]
  kind = "keras" if name.startswith("keras") else "torch"
  wanted = leaves(params, buffers)
  # Names and shapes come from the table: that they are the library's is the test below.
  blank = {path: np.broadcast_to(np.float32(0), leaf.shape) for path, leaf in wanted.items()}
  shapes = {n: x.shape for n, x in mapping.Theirs(table, blank).items()}
  tensors = {n: Tensor(shape, np.dtype("float32"), functools.partial(value, n, shape, kind)) for n, shape in shapes.items()}
  file = WeightsFile("values", tensors, {})
  filled = mapping.fill(file, mapping.plan(file, table, wanted), wanted)
  tree = lambda like: jax.tree.unflatten(jax.tree.structure(like), [filled[p] for p in paths(like)])
  close(run(definition, tree(params), tree(buffers), side, method).reshape(2, -1), stored(name.replace("/", "_")))


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_tensor_of_published_networks_has_its_parameter(name):
  library, _, which = name.partition("/")
  named = published("keras")[which] if library == "keras" else published("torch")[name]
  unread = lambda: pytest.fail("read")
  tensors = {n: Tensor(tuple(shape), np.dtype("float32"), unread) for n, shape in named}
  config = PUBLISHED[name]
  _, params, buffers = network(config, 224, 1000)
  wanted = leaves(params, buffers)
  table = config.tables()[library]
  plan = mapping.plan(WeightsFile(name, tensors, {}), table, wanted)
  assert set(plan.fills) == set(wanted) and not plan.fresh
  assert all(n.endswith("num_batches_tracked") for n in plan.left)
  rows = list(dict.fromkeys(row.theirs for row in table.rows))
  if library == "keras":  # older files may be read by order alone
    assert sorted(rows) == sorted(tensors)


@pytest.mark.parametrize("name", CASES)
def test_what_is_exported_is_what_was_loaded_bit_for_bit(name, tmp_path):
  config, side = CASES[name]
  path, names = path_of(name)
  _, params, buffers = load(name, config, side)
  exported = tmp_path / path.name
  export(exported, config.tables()[names], params, buffers)
  theirs, ours = open_weights(path).tensors, open_weights(exported).tensors
  left_out = {n for n in theirs if n.endswith("num_batches_tracked") or n.startswith("opt/")}
  assert set(ours) == set(theirs) - left_out
  for n in ours:
    np.testing.assert_array_equal(ours[n].read(), theirs[n].read(), strict=True)
  again = load(name, config, side, exported)
  for a, b in zip(jax.tree.leaves(again[1:]), jax.tree.leaves((params, buffers)), strict=True):
    np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.parametrize("file", ["keras_vgg16.h5", pytest.param("keras_resnet50.weights.h5", marks=pytest.mark.heavy)])
def test_keras_files_exported_and_read_again(file, tmp_path):
  name = file.partition(".")[0]
  config = KERAS_RESNET if "resnet" in file else vgg.vgg16(channels=(2, 2, 4, 8, 8), widths=(64, 64))
  original = fixture(file, tmp_path)
  _, params, buffers = load(name, config, 32, original)
  export(tmp_path / "ours.h5", config.tables()["keras"], params, buffers)
  theirs, ours = open_weights(original).tensors, open_weights(tmp_path / "ours.h5").tensors
  assert set(ours) == set(theirs)
  for n in ours:
    np.testing.assert_array_equal(ours[n].read(), theirs[n].read(), strict=True)
