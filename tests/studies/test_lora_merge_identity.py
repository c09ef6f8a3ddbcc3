"""Beside a weight or added to it: by NumPy, and the findings at a small width."""

import jax
import numpy as np
import pytest
from parts import InMemory

from experiments import lora_merge_identity
from research import config
from research.studies.lora_merge_identity import beside, plain


def test_adapters_by_numpy():
  random = np.random.default_rng(0)
  shapes = {"kernel": (2, 5, 5), "lora_a": (2, 5, 3), "lora_b": (2, 3, 5)}
  params = {name: random.normal(size=shape) for name, shape in shapes.items()}
  x = want = random.normal(size=(4, 5))
  for w, a, b in zip(*params.values()):
    want = np.tanh(want @ (w + 0.5 * a @ b))
  np.testing.assert_allclose(jax.jit(beside)(params, x, 0.5), want, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(jax.jit(beside)({**params, "lora_b": 0 * params["lora_b"]}, x, 0.5),
                             jax.jit(plain)(params["kernel"], x), rtol=1e-5, atol=1e-6)


def test_identities_at_small_width():
  small = {"dim": 24, "steps": 100, "num_layers": 2, "batch_size": 32, "rank": 2}
  study = config.override(lora_merge_identity.experiment(), small)
  metrics = study.measure(0, InMemory()).metrics
  assert metrics["start_difference"] == 0 and metrics["merge_difference"] < 1e-5 and metrics["moved"] > 0.01
  assert metrics["trained_over_formula"] == 1 and metrics["loss_ratio"] < 1
  assert metrics["trained_share"] == pytest.approx(2 * 2 / 24)
