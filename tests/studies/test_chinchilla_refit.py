"""The gradient against differences, planted laws, and a table read as the paper reads it."""

import pathlib

import numpy as np
import pytest
from parts import InMemory
from scipy import optimize

from experiments import chinchilla_refit
from research import config
from research.planning.scaling import BESIROGLU, HOFFMANN, HOFFMANN_UNROUNDED, Law
from research.studies.chinchilla_refit import Fit, grid, read_runs


def runs(law: Law, noise: float = 0.0):
  rng = np.random.default_rng(0)
  parameters, tokens = np.exp(rng.uniform(np.log([5e7, 1e9]), np.log([1e10, 3e11]), (200, 2))).T
  return parameters, tokens, law.loss(parameters, tokens) * np.exp(noise * rng.normal(size=200))


def test_gradient_is_the_slope_of_the_objective():
  fit = Fit(*runs(BESIROGLU, 0.01), 1e-3)
  for point in (HOFFMANN.point(), np.array([5.0, 5.0, 0.0, 0.5, 0.5])):
    slope = optimize.approx_fprime(point, lambda p: fit.objective(p)[0], 1e-7)
    np.testing.assert_allclose(fit.objective(point)[1], slope, rtol=1e-4, atol=1e-6)


def test_objective_is_hubers():
  fit = Fit(np.ones(1), np.ones(1), np.full(1, 3.0), 1e-3)  # a = b = e = 0: the law predicts 3 for one run
  assert fit.objective(np.zeros(5))[0] == pytest.approx(0)
  shifted = Fit(np.ones(1), np.ones(1), np.full(1, 3 * np.exp(0.1)), 1e-3)
  assert shifted.objective(np.zeros(5))[0] == pytest.approx(1e-3 * (0.1 - 0.5e-3))


@pytest.mark.parametrize("law", [BESIROGLU, Law(100.0, 900.0, 2.0, 0.28, 0.33)])
def test_planted_law_is_recovered(law):
  point, value = Fit(*runs(law), 1e-3).minimise(HOFFMANN_UNROUNDED.point())
  np.testing.assert_allclose(Law.of(point), law, rtol=1e-5)
  assert value < 1e-15


def test_noise_moves_the_exponents_no_more_than_the_paper_says():
  point, _ = Fit(*runs(BESIROGLU, 0.005), 1e-3).minimise(HOFFMANN_UNROUNDED.point())
  assert point[3] == pytest.approx(BESIROGLU.alpha, abs=0.02)
  assert point[4] == pytest.approx(BESIROGLU.beta, abs=0.02)


def test_grid_holds_every_start_once():
  assert len(set(grid())) == 4_500
  assert {start[2] for start in grid()} == {-1, -0.5, 0, 0.5, 1}


def write_table(folder: pathlib.Path, parameters, tokens, loss):
  (folder / "tables").mkdir()
  lines = [f"{6 * n * d},{n},{v}" for n, d, v in zip(parameters, tokens, loss)]
  (folder / "tables/chinchilla_svg_extracted.csv").write_text("\n".join(["Training FLOP,Model Size,loss", *lines]))


def test_table_loses_its_highest_losses_and_keeps_its_order(tmp_path):
  parameters, tokens, loss = runs(BESIROGLU)
  write_table(tmp_path, parameters, tokens, loss)
  kept = loss < np.sort(loss)[-5]
  for read, planted in zip(read_runs(tmp_path / "tables/chinchilla_svg_extracted.csv", 5), (parameters, tokens, loss)):
    np.testing.assert_allclose(read, planted[kept])


def test_study_fits_a_table_and_does_without_it(tmp_path):
  study = config.override(chinchilla_refit.experiment(), {"num_starts": 5})
  without = study.measure(0, InMemory(None)).metrics
  assert "E" not in without and without["planted_error"] < 1e-3
  write_table(tmp_path, *runs(BESIROGLU))
  found = study.measure(0, InMemory(tmp_path)).metrics
  assert found["A"] == pytest.approx(BESIROGLU.A, rel=1e-4)
  assert found["grid_objective"] < 1e-12 < found["hoffmann_objective"]
