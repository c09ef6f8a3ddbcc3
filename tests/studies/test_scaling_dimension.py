"""Parameters are counted, students are independent, and larger ones learn more."""

import jax
import pytest
from parts import InMemory

from experiments import scaling_dimension
from research import config
from research.studies.scaling_dimension import num_parameters

STUDY = config.override(scaling_dimension.experiment(), {
    "widths": (2, 8), "teacher_width": 16, "restarts": 2, "batch_size": 64})


def test_parameters_are_those_of_the_network():
  params = jax.eval_shape(lambda: STUDY._students(0, 5)[1])
  assert {w: sum(leaf.size for leaf in jax.tree.leaves(p)) // 2 for w, p in params.items()} == {
      str(w): num_parameters(5, w) for w in (2, 8)}


def test_teacher_answers_have_unit_variance():
  y = jax.jit(lambda: STUDY._teacher(1, 3)(STUDY._inputs(jax.random.key(9), 5_000, 3)))()
  assert abs(float(y.mean())) < 0.1 and float(y.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.heavy
def test_larger_students_learn_more():
  study = config.override(STUDY, {"dims": (2,), "steps": 2_000})
  assert study.measure(0, InMemory()).metrics["exponent_2"] > 0.5
