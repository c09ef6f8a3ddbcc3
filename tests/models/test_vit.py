"""The Vision Transformer, by its formulas and by what it must not know."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from flax import nnx

from research import rules
from research.augmentation.erasing import RandomErasing
from research.augmentation.mixing import Mixup
from research.augmentation.normalize import signed
from research.config import ConfigError, Duration
from research.models import vit
from research.nn.patches import sincos_2d
from research.optimizers.adamw import AdamW
from research.optimizers.schedule import Length
from research.tasks.classification import Classification
from research.training import gradient_check, program
from research.training.settings import Training
from research.training.sharding import batch_sharding

KEY = jax.random.key(5)
IMAGES = jax.ShapeDtypeStruct((2, 12, 8, 3), jnp.float32)
SMALL = vit.Config(patch=4, dim=16, num_layers=3, num_heads=2, mlp_dim=32)
PLAIN = dataclasses.replace(SMALL, **vit.PLAIN)


def build(config, images=IMAGES, num_outputs=5):
  """With a head that is not zero, and tokens that differ."""
  model = config.build(images, num_outputs, nnx.Rngs(0))
  rng = np.random.default_rng(0)
  nnx.update(model, jax.tree.map(lambda p: p + 0.3 * rng.normal(size=p.shape).astype(p.dtype), nnx.state(model, nnx.Param)))
  return model


def call(model, x, key=None):
  return jax.jit(lambda x: model(x, key=key))(x)


def parameters(model):
  return rules.paths(nnx.to_pure_dict(nnx.state(model, nnx.Param)))


@pytest.mark.parametrize("config,size", [
    (vit.vit_ti(), 5_717_416), (vit.vit_s(), 22_050_664), (vit.vit_b(), 86_567_656), (vit.vit_b(patch=32), 88_224_232),
    (vit.vit_l(), 304_326_632), (vit.vit_s(distillation_token=True), 22_436_432), (vit.vit_s(**vit.PLAIN), 21_974_632)])
def test_published_sizes(config, size):
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  model = nnx.eval_shape(lambda: config.build(images, 1000, nnx.Rngs(0)))
  assert sum(p.size for p in parameters(model).values()) == size


def test_stacked_parameters_have_the_depth_first():
  model = nnx.eval_shape(lambda: SMALL.build(IMAGES, 5, nnx.Rngs(0)))
  shapes = {path: p.shape for path, p in parameters(model).items()}
  assert shapes["patch_embedding/kernel"] == (4, 4, 3, 16)
  assert shapes["position_embedding"] == (1 + 6, 16)
  assert shapes["layers/attention/query/kernel"] == (3, 16, 16)
  assert shapes["layers/mlp/up/kernel"] == (3, 16, 32)
  assert shapes["head/kernel"] == (16, 5)


# --- by the formulas, in numpy and float64 -----------------------------------------------------------------------------


def _normalise(p, x):
  x = x - x.mean(-1, keepdims=True)
  return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * p["scale"] + p["bias"]


def _dense(p, x):
  return x @ p["kernel"] + p["bias"]


def _attention(p, x, memory, heads):
  split = lambda y: y.reshape(len(y), heads, -1).swapaxes(0, 1)
  q, k, v = split(_dense(p["query"], x)), split(_dense(p["key"], memory)), split(_dense(p["value"], memory))
  weights = scipy.special.softmax(q @ k.swapaxes(1, 2) / q.shape[-1] ** 0.5, axis=-1)
  return _dense(p["out"], (weights @ v).swapaxes(0, 1).reshape(len(x), -1))


def _mlp(p, x):
  h = _dense(p["up"], x)
  return _dense(p["down"], h * scipy.special.ndtr(h))


def _by_hand(config, params, image):
  """One image through the paper's equations 1 to 4."""
  kernel = params["patch_embedding"]["kernel"]
  patches = [image[r:r + 4, c:c + 4] for r in range(0, 12, 4) for c in range(0, 8, 4)]
  x = np.stack([np.einsum("ijc,ijcd->d", patch, kernel) for patch in patches]) + params["patch_embedding"]["bias"]
  if config.position == "sincos2d":
    x = x + sincos_2d((3, 2), 16)
  prefix = [params[name] for name in ("class_token", "distillation_token") if name in params]
  x = np.concatenate([*(token[None] for token in prefix), x])
  if config.position == "learned":
    x = x + params["position_embedding"]
  for i in range(config.num_layers):
    p = jax.tree.map(lambda a, i=i: a[i], params["layers"])
    h = _normalise(p["attention_norm"], x)
    x = x + _attention(p["attention"], h, h, config.num_heads)
    x = x + _mlp(p["mlp"], _normalise(p["mlp_norm"], x))
  x = _normalise(params["norm"], x)
  if config.distillation_token:
    return (_dense(params["head"], x[0]) + _dense(params["distillation_head"], x[1])) / 2
  if config.pool == "map":
    p = params["map_pool"]
    y = _attention(p["attention"], p["probe"][None], x, config.num_heads)
    y = (y + _mlp(p["mlp"], _normalise(p["norm"], y)))[0]
  else:
    y = x[0] if config.pool == "cls" else x[len(prefix):].mean(0)
  if config.representation_dim:
    y = np.tanh(_dense(params["representation"], y))
  return _dense(params["head"], y)


VARIANTS = {
    "original": {}, "plain": vit.PLAIN, "map": {**vit.PLAIN, "pool": "map"}, "mean beside a class token": {"pool": "mean"},
    "distilled": {"distillation_token": True}, "representation": {"representation_dim": 7},
    "sincos beside a class token": {"position": "sincos2d"}}


@pytest.mark.parametrize("changes", VARIANTS.values(), ids=VARIANTS)
def test_the_network_is_its_formulas(changes):
  config = dataclasses.replace(SMALL, **changes)
  model = build(config)
  params = jax.tree.map(lambda p: np.asarray(p, np.float64), nnx.to_pure_dict(nnx.state(model, nnx.Param)))
  x = np.asarray(jax.random.normal(KEY, IMAGES.shape))
  want = [_by_hand(config, params, image.astype(np.float64)) for image in x]
  np.testing.assert_allclose(call(model, x), want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("changes", [
    {"remat": "none"}, {"dropout": 0.2, "attention_dropout": 0.1, "stochastic_depth": 0.3}])
def test_a_scan_is_the_loop(changes):
  """Gradients too, with the same noise."""
  results = []
  for scan in (True, False):
    config = dataclasses.replace(SMALL, num_layers=2, scan=scan, **changes)
    model = config.build(IMAGES, 5, nnx.Rngs(0))
    model.head.kernel[...] = jnp.cos(jnp.arange(80.0)).reshape(16, 5)
    definition, params = nnx.split(model)
    x = jax.random.normal(KEY, IMAGES.shape)
    loss = lambda params, x, definition=definition: jnp.sum(jnp.sin(nnx.merge(definition, params, copy=True)(x, key=KEY)))
    value, gradient = jax.jit(jax.value_and_grad(loss))(params, x)
    gradient = nnx.to_pure_dict(gradient)
    if not scan:
      gradient["layers"] = jax.tree.map(lambda *rows: jnp.stack(rows), *gradient["layers"].values())
    results.append((value, gradient))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), *results)


def test_bfloat16_is_float32_but_for_its_rounding():
  model = build(PLAIN)
  x = jax.random.normal(KEY, IMAGES.shape)
  exact, rounded = call(model, x), call(model, x.astype(jnp.bfloat16))
  assert rounded.dtype == jnp.bfloat16
  np.testing.assert_allclose(rounded.astype(jnp.float32), exact, atol=0.03 * np.abs(exact).max())


# --- what it knows and what not ------------------------------------------------------------------------------------------


def _shuffled(x, order):
  patches = x.reshape(2, 3, 4, 2, 4, 3).swapaxes(2, 3).reshape(2, 6, 4, 4, 3)[:, order]
  return patches.reshape(2, 3, 2, 4, 4, 3).swapaxes(2, 3).reshape(x.shape)


@pytest.mark.parametrize("pool", ["cls", "mean", "map"])
def test_only_positions_tell_the_order_of_patches(pool):
  order = np.asarray([4, 0, 5, 2, 1, 3])
  model = build(dataclasses.replace(SMALL, pool=pool))
  x = jax.random.normal(KEY, IMAGES.shape)
  assert not np.allclose(call(model, _shuffled(x, order)), call(model, x), atol=1e-3)
  model.position_embedding[...] = jnp.zeros_like(model.position_embedding[...])
  np.testing.assert_allclose(call(model, _shuffled(x, order)), call(model, x), rtol=1e-4, atol=1e-4)


def test_the_head_sees_the_features():
  for config in (SMALL, PLAIN, dataclasses.replace(SMALL, representation_dim=7)):
    model = build(config)
    x = jax.random.normal(KEY, IMAGES.shape)
    np.testing.assert_allclose(call(model, x), model.head(model.features(x)), rtol=1e-4, atol=1e-4)


def test_noise_only_in_training():
  model = build(dataclasses.replace(SMALL, stochastic_depth=0.5, dropout=0.1))
  x = jax.random.normal(KEY, IMAGES.shape)
  np.testing.assert_allclose(call(model, x), call(build(SMALL), x), rtol=1e-5, atol=1e-5)
  assert not np.allclose(call(model, x, KEY), call(model, x))
  assert not np.allclose(call(model, x, KEY), call(model, x, jax.random.key(9)))


@pytest.mark.parametrize("changes,word", [
    ({"class_token": False}, "class_token"), ({"distillation_token": True, "pool": "mean"}, "distillation_token"),
    ({"num_heads": 3}, "num_heads"), ({"dim": 6, "num_heads": 1, "position": "sincos2d"}, "dim=6"),
    ({"stochastic_depth": 1.0}, "stochastic_depth"), ({"attention_dropout": -0.1}, "attention_dropout"),
    ({"implementation": "cudnn", "attention_dropout": 0.1}, "cudnn"), ({"num_layers": 0}, "num_layers")])
def test_mistakes_are_named(changes, word):
  with pytest.raises(ConfigError, match=word):
    dataclasses.replace(SMALL, **changes)


@pytest.mark.parametrize("shape", [(2, 12, 10, 3), (2, 12, 8)])
def test_images_that_do_not_fit(shape):
  with pytest.raises(ConfigError, match="patches of side 4"):
    SMALL.build(jax.ShapeDtypeStruct(shape, jnp.float32), 5, nnx.Rngs(0))


# --- training --------------------------------------------------------------------------------------------------------------


@pytest.mark.heavy
def test_gradients_by_central_differences():
  with jax.enable_x64(True):
    images = jax.ShapeDtypeStruct(IMAGES.shape, jnp.float64)
    model = dataclasses.replace(SMALL, num_layers=1, pool="map").build(images, 5, nnx.Rngs(0))
    definition, params = nnx.split(model)
    params = jax.tree.map(lambda p: p + 0.1 * jnp.cos(jnp.arange(p.size, dtype=p.dtype)).reshape(p.shape),
                          nnx.to_pure_dict(params))
    x = jax.random.normal(KEY, images.shape, jnp.float64)
    rows = gradient_check.check(lambda p: jnp.sum(jnp.sin(nnx.merge(definition, p, copy=True)(x))), params)
    assert len(rows) == len(jax.tree.leaves(params))
    for row in rows:
      # A constant added to all keys moves no softmax: there is nothing but rounding to compare.
      assert abs(row.automatic) < 1e-12 if row.path.endswith("attention/key/bias") else row.agrees, row


def _program(config, optimizer, shape, num_classes, *, devices=1, on_device=(), dtype=jnp.float32):
  spec = {"inputs": jax.ShapeDtypeStruct(shape, dtype), "labels": jax.ShapeDtypeStruct(shape[:1], jnp.int32),
          "mask": jax.ShapeDtypeStruct(shape[:1], jnp.float32)}
  training = Training(steps=Duration(100))
  return program.build(
      model=config, task=Classification(num_classes=num_classes), optimizer=optimizer, training=training, specs=(spec,),
      length=Length(total_steps=100, batch_size=shape[0], steps_per_epoch=100), on_device=on_device,
      mesh=training.sharding.mesh(jax.devices()[:devices]))


@pytest.mark.heavy
def test_vit_s_with_augmentation_is_the_same_on_eight_devices():
  """The losses of five steps: what is drawn on the device (mixing, erasing, dropped branches) is the same."""
  rng, losses = np.random.default_rng(0), {}
  batches = [{"inputs": rng.integers(0, 256, (16, 64, 64, 3)).astype(np.uint8), "mask": np.ones(16, np.float32),
              "labels": rng.integers(0, 10, 16).astype(np.int32)} for _ in range(5)]
  for devices in (1, 8):
    made = _program(vit.vit_s(stochastic_depth=0.1), AdamW(learning_rate=1e-3), (16, 64, 64, 3), 10, devices=devices,
                    on_device=(signed(), RandomErasing(probability=0.5), Mixup(alpha=0.2)), dtype=jnp.uint8)
    state, losses[devices] = made.create(jax.random.key(0)), []
    for batch in batches:
      state = made.step(state, jax.device_put(batch, batch_sharding(made.mesh)))
      losses[devices].append(float(state.window["loss"][0]))
  np.testing.assert_allclose(losses[8], losses[1], rtol=2e-5)


_PATTERNS = np.stack([np.ones((4, 4)), np.indices((4, 4))[0] % 2 * 2 - 1, np.indices((4, 4))[1] % 2 * 2 - 1,
                      np.indices((4, 4)).sum(0) % 2 * 2 - 1])[..., None]


def _squares(count, rng, wanted):
  """Noise with one of four patterns in one of four quarters: the class is which pattern ("what") or which quarter ("where")."""
  what, where = rng.integers(0, 4, (2, count))
  images = 0.3 * rng.normal(size=(count, 16, 16, 1))
  for image, pattern, quarter in zip(images, what, where):
    row, column = 8 * np.asarray(divmod(quarter, 2)) + 4 * rng.integers(0, 2, 2)
    image[row:row + 4, column:column + 4] += _PATTERNS[pattern]
  labels = {"what": what, "where": where}[wanted]
  return {"inputs": images.astype(np.float32), "labels": labels.astype(np.int32), "mask": np.ones(count, np.float32)}


@pytest.mark.parametrize("changes,wanted", [
    pytest.param({}, "what", marks=pytest.mark.heavy), (vit.PLAIN, "where"),
    pytest.param({**vit.PLAIN, "pool": "map"}, "where", marks=pytest.mark.heavy)], ids=["original", "plain", "map"])
def test_it_learns_what_and_where(changes, wanted):
  config = dataclasses.replace(SMALL, num_layers=2, **changes)
  made = _program(config, AdamW(learning_rate=1e-2), (64, 16, 16, 1), 4)
  state, rng = made.create(jax.random.key(0)), np.random.default_rng(0)
  for _ in range(120):
    state = made.step(state, _squares(64, rng, wanted))
  state = dataclasses.replace(state, window=made.fresh_window())
  for _ in range(10):
    state = made.step(state, _squares(64, rng, wanted))
  right, count = state.window["accuracy"]  # of batches seen for the first time, before learning from them
  assert count == 640 and right / count > 0.95


def test_frozen_layers_stay_and_cost_no_gradient():
  factors = (("(head|norm)/.*", 1.0), (".*", 0.0))
  made = _program(SMALL, AdamW(learning_rate=1e-2, learning_rate_rules=factors), (8, 12, 8, 3), 5)
  state = made.create(jax.random.key(0))
  before = jax.device_get(state.params)
  batch = {"inputs": np.random.default_rng(0).normal(size=(8, 12, 8, 3)).astype(np.float32),
           "labels": np.arange(8, dtype=np.int32) % 5, "mask": np.ones(8, np.float32)}
  for _ in range(2):
    state = made.step(state, batch)
  pairs = zip(rules.paths(before).items(), rules.paths(jax.device_get(state.params)).values(), strict=True)
  moved = {path for (path, old), new in pairs if not np.array_equal(old, new)}
  assert moved == {"head/kernel", "head/bias", "norm/scale", "norm/bias"}


def test_layers_that_hang_on_nothing_learned_get_no_gradient():
  """A constant head passes nothing down: what is found at the bottom comes through it."""
  definition, params = nnx.split(SMALL.build(IMAGES, 5, nnx.Rngs(0)))  # its head is zero at first
  x = jax.random.normal(KEY, IMAGES.shape)
  gradient = jax.jit(jax.grad(lambda p: jnp.sum(nnx.merge(definition, p)(x) ** 2 + nnx.merge(definition, p)(x))))(params)
  sizes = {path: float(np.abs(g).max()) for path, g in rules.paths(nnx.to_pure_dict(gradient)).items()}
  assert {path for path, size in sizes.items() if size > 0} == {"head/kernel", "head/bias"}


def test_every_parameter_has_a_gradient():
  for changes in ({}, {"distillation_token": True}, {**vit.PLAIN, "pool": "map"}):
    definition, params = nnx.split(build(dataclasses.replace(SMALL, **changes)))
    x = jax.random.normal(KEY, IMAGES.shape)
    gradient = jax.jit(jax.grad(lambda p, x, d=definition: jnp.sum(jnp.sin(nnx.merge(d, p)(x)))))(params, x)
    silent = [path for path, g in rules.paths(nnx.to_pure_dict(gradient)).items() if np.abs(g).max() < 1e-6]
    # A constant added to all keys moves no softmax: its gradient is zero but for rounding.
    assert set(itertools.filterfalse(lambda path: path.endswith("attention/key/bias"), silent)) == set()
