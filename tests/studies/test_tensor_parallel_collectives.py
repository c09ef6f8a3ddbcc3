"""The layer is causal, the split program says what the paper counts, and impossible splits are refused."""

import jax
import jax.numpy as jnp
import pytest
from parts import InMemory

from experiments import tensor_parallel_collectives
from research import config
from research.studies.tensor_parallel_collectives import apply_layers

SMALL = {"num_layers": 1, "dim": 16, "num_heads": 2, "hidden_dim": 32, "batch_size": 2, "length": 8, "num_devices": 2}


def study(**changes):
  return config.override(tensor_parallel_collectives.experiment(), SMALL | changes)


@pytest.mark.heavy
def test_positions_see_only_the_past():
  layers, x_BTD = study()._problem(0)
  gradient_BTD = jax.jit(jax.grad(lambda x: jnp.sum(apply_layers(layers, x)[:, 3])))(x_BTD)
  assert jnp.all(gradient_BTD[:, 4:] == 0) and jnp.all(gradient_BTD[:, :4] != 0)


def test_two_all_reduces_a_layer_each_way():
  if jax.device_count() < 2:
    pytest.skip("needs 2 devices: XLA_FLAGS=--xla_force_host_platform_device_count=8")
  metrics = study().measure(0, InMemory()).metrics
  assert metrics["forward_all_reduces"] == 2 and metrics["gradient_all_reduces"] == 4
  assert metrics["forward_bytes"] == 2 * 2 * 8 * 16 * 4 and metrics["gradient_bytes"] == 4 * 2 * 8 * 16 * 4
  assert metrics["other_collectives"] == metrics["collectives_replicated"] == 0
  assert metrics["other_collectives_by_columns"] > 0
  assert metrics["difference"] < 1e-5


def test_kernels_that_do_not_divide_are_refused():
  with pytest.raises(config.ConfigError, match="num_heads=3 must be a multiple of num_devices=2"):
    study(num_heads=3)


def test_too_few_devices_are_named():
  with pytest.raises(config.ConfigError, match="does not fit"):
    study(num_devices=64, dim=64, num_heads=64, hidden_dim=64).measure(0, InMemory())
