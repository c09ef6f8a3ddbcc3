import numpy as np
import pytest

from research.config import Duration
from research.optimizers.schedule import Length, TriStage


def test_it_rises_stays_and_falls():
  length = Length(total_steps=1000, batch_size=1, steps_per_epoch=10)
  factor = TriStage(warmup=Duration(10, "%"), hold=Duration(40, "%"), final=0.05).factor(length)
  np.testing.assert_allclose([float(factor(step)) for step in (0, 49, 99, 100, 499, 500)], [0.01, 0.5, 1, 1, 1, 1], rtol=1e-6)
  assert float(factor(750)) == pytest.approx(0.05**0.5) and float(factor(1000)) == pytest.approx(0.05)
