"""The training step: what its gradient means, and that devices and micro-batches do not change it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from research.config import Duration
from research.models import cnn, mlp
from research.optimizers.adam import Adam
from research.optimizers.descent import GradientDescent
from research.optimizers.schedule import Length
from research.tasks.classification import Classification
from research.training import program
from research.training.settings import Training
from research.training.sharding import Sharding, batch_sharding

TASK = Classification(num_classes=4)
MODEL = mlp.Config(widths=(16, 16))


def make(training=None, *, model=MODEL, optimizer=None, batch=16, devices=1, shape=(8,)):
  training = training or Training(steps=Duration(100))
  spec = {"inputs": jax.ShapeDtypeStruct((batch, *shape), jnp.float32), "labels": jax.ShapeDtypeStruct((batch,), jnp.int32),
          "mask": jax.ShapeDtypeStruct((batch,), jnp.float32)}
  optimizer = optimizer or GradientDescent(learning_rate=0.1)
  return program.build(model=model, task=TASK, optimizer=optimizer, training=training, specs=(spec,),
                       length=Length(total_steps=100, batch_size=batch, steps_per_epoch=160 // batch),
                       mesh=training.sharding.mesh(jax.devices()[:devices]))


def batches(num, batch=16, shape=(8,), mask=None, place=None):
  rng = np.random.default_rng(0)
  for _ in range(num):
    out = {"inputs": rng.normal(size=(batch, *shape)).astype(np.float32), "labels": rng.integers(0, 4, batch).astype(np.int32),
           "mask": np.ones(batch, np.float32) if mask is None else mask}
    yield jax.device_put(out, place)


def losses(made, num=20, **options):
  state, out = made.create(jax.random.key(0)), []
  for batch in batches(num, place=batch_sharding(made.mesh), **options):
    state = made.step(state, batch)
    sums = jax.device_get(state.window["loss"])
    out.append(sums[0] / sums[1])
    state = dataclasses.replace(state, window=made.fresh_window())
  return np.array(out), state


def test_a_plain_step_is_gradient_descent_on_the_mean_loss():
  made = make()
  state = made.create(jax.random.key(0))
  before = jax.device_get(state.params)
  batch = next(batches(1))

  def loss(params):
    x = batch["inputs"]
    for layer in (0, 1):
      x = jax.nn.relu(x @ params["layers"][layer]["kernel"] + params["layers"][layer]["bias"])
    logits = x @ params["head"]["kernel"] + params["head"]["bias"]
    return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(16), batch["labels"]])

  wanted = jax.tree.map(lambda p, g: p - 0.1 * g, before, jax.grad(loss)(before))
  after = made.step(state, batch)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-7), after.params, wanted)
  assert int(after.step) == 1


def test_masked_examples_have_no_gradient():
  mask = np.array([1] * 10 + [0] * 6, np.float32)
  made, short = make(), make(batch=10)
  whole = next(batches(1, mask=mask))
  state = made.step(made.create(jax.random.key(0)), whole)
  first_ten = {k: v[:10] for k, v in whole.items()}
  wanted = short.step(short.create(jax.random.key(0)), first_ten)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), state.params, wanted.params)


def test_micro_batches_of_unequal_counts_are_weighted_by_them():
  mask = np.array([1] * 5 + [0] * 11, np.float32)  # 4 in the first micro-batch of 4, 1 in the second, none after
  one, _ = losses(make(), mask=mask)
  four, _ = losses(make(Training(steps=Duration(100), num_microbatches=4)), mask=mask)
  np.testing.assert_allclose(four, one, rtol=2e-5)


def test_steps_in_one_call_are_the_same_steps():
  made, chunked = make(), make(Training(steps=Duration(100), steps_per_call=5))
  _, single = losses(made, 5)
  stacked = jax.tree.map(lambda *b: jnp.stack(b), *batches(5))
  together = chunked.step(chunked.create(jax.random.key(0)), stacked)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), single.params, together.params)


@pytest.mark.parametrize("sharding", [Sharding(), Sharding(fsdp=8), Sharding(data=2, fsdp=2, tensor=2, rules=(
    ("layers/0/kernel", "-,tensor"), ("layers/1/kernel", "tensor,-"), (".*", "fsdp")))], ids=["data", "fsdp", "mixed"])
def test_eight_devices_equal_one(sharding):
  assert jax.device_count() == 8
  one, _ = losses(make(optimizer=Adam(learning_rate=1e-3)))
  eight, spread = losses(make(Training(steps=Duration(100), sharding=sharding), optimizer=Adam(learning_rate=1e-3), devices=8))
  np.testing.assert_allclose(eight, one, rtol=2e-5)
  if sharding.fsdp == 8:
    kernel = spread.params["layers"][1]["kernel"]
    assert kernel.addressable_shards[0].data.size == kernel.size // 8
    moments = [leaf for leaf in jax.tree.leaves(spread.optimizer) if leaf.shape == kernel.shape]
    assert moments and all(m.sharding == kernel.sharding for m in moments)


def test_one_gradient_on_eight_devices_is_that_on_one():
  gradients = []
  for devices in (1, 8):
    made = make(optimizer=GradientDescent(learning_rate=1.0), devices=devices)  # the step is the gradient
    state = made.create(jax.random.key(0))
    before = jax.device_get(state.params)
    after = jax.device_get(made.step(state, next(batches(1, place=batch_sharding(made.mesh)))).params)
    gradients.append(jax.tree.leaves(jax.tree.map(np.subtract, before, after)))
  assert all(np.abs(g).max() > 1e-3 for g in gradients[0])
  for one, eight in zip(*gradients, strict=True):
    np.testing.assert_allclose(eight, one, rtol=1e-5, atol=1e-5 * np.abs(one).max())


def test_batch_statistics_and_average_move_with_training():
  model = cnn.Config(channels=(4,), kernels=(3,), strides=(1,), paddings=(1,), batch_norm=True)
  made = make(Training(steps=Duration(100), average_decay=0.5), model=model, shape=(8, 8, 1))
  before = made.create(jax.random.key(0))
  start = jax.device_get((before.buffers, before.params))
  _, state = losses(made, 3, shape=(8, 8, 1))
  assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(start[0]), jax.tree.leaves(state.buffers)))
  gap = lambda tree: sum(float(jnp.sum((a - b) ** 2)) for a, b in zip(jax.tree.leaves(start[1]), jax.tree.leaves(tree)))
  assert 0 < gap(state.average) < gap(state.params)


def test_the_first_value_that_is_not_finite_is_remembered_with_its_parameter():
  made = make()
  state = made.create(jax.random.key(0))
  good, bad, last = batches(3)
  state = made.step(state, good)
  assert jax.device_get(state.window["first_bad"])[0] == -1
  bad = {**bad, "inputs": bad["inputs"].at[3, 2].set(jnp.nan)}
  state = made.step(made.step(state, bad), last)
  assert jax.device_get(state.window["first_bad"])[0] == 1


def test_bfloat16_keeps_float32_parameters_and_learns_alike():
  full, _ = losses(make())
  half, state = losses(make(Training(steps=Duration(100), precision="bfloat16")))
  assert all(p.dtype == jnp.float32 for p in jax.tree.leaves(state.params))
  np.testing.assert_allclose(half, full, rtol=0.05)
  assert np.any(half != full)
