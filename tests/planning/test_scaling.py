"""The law against a search, what it says of a run, and what a law of one's own must be."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest
from scipy import optimize

from research.config import ConfigError
from research.planning import scaling
from research.planning.scaling import BESIROGLU, HOFFMANN, HOFFMANN_UNROUNDED, Law
from research.tasks.language_modeling import LanguageModeling

RUN = {"law": None, "source": "", "parameters": 1e9, "tokens": 1e10, "token": "subword", "passes": 0.5, "counted": 7e19,
       "hours": 12.0}


@pytest.mark.parametrize("law", [BESIROGLU, HOFFMANN, HOFFMANN_UNROUNDED])
def test_closed_form_is_where_a_search_ends(law):
  compute = 5.76e23
  parameters, tokens = law.optimum(compute)
  assert 6 * parameters * tokens == pytest.approx(compute)
  searched = optimize.minimize_scalar(lambda n: law.loss(np.exp(n), compute / 6 / np.exp(n)), (23, 26), tol=1e-12)
  assert np.log(parameters) == pytest.approx(searched.x, abs=1e-5)


def test_a_run_is_held_against_the_best_of_its_compute():
  found = scaling.scaling(**RUN)
  assert found.planned.compute == found.best.compute == 6e19
  assert found.planned.loss == pytest.approx(1.8172 + 482.01 / 1e9**0.3478 + 2085.43 / 1e10**0.3658)
  assert found.best.loss < found.planned.loss
  # So much of the compute, spent on the best size, gives the loss of the run.
  assert BESIROGLU.loss(*BESIROGLU.optimum(found.enough * 6e19)) == pytest.approx(found.planned.loss, rel=1e-9)
  again = scaling.scaling(**{**RUN, "parameters": found.best.parameters, "tokens": found.best.tokens})
  assert again.enough == pytest.approx(1) and again.planned.loss == pytest.approx(found.best.loss)
  assert not found.notes


def test_budgets_are_those_asked_for_or_around_the_run():
  assert [b.compute for b in scaling.scaling(**RUN).budgets] == pytest.approx([6e18, 6e19, 6e20, 6e21])
  (row,) = scaling.scaling(**RUN, budgets=(5.76e23,)).budgets
  assert (row.parameters, row.tokens / row.parameters) == (pytest.approx(7.22e10, rel=1e-3), pytest.approx(18.39, rel=1e-3))
  assert row.hours == pytest.approx(12 * 5.76e23 / 6e19)


@pytest.mark.parametrize("changes,says", [
    ({"token": "character"}, "the loss a character is another"), ({"tokens": 1e12}, "outside those that the law was fitted to"),
    ({"parameters": 1e6}, "outside those"), ({"passes": 3.0}, "each example is taken 3 times")])
def test_where_the_law_may_not_hold_it_says_so(changes, says):
  (note,) = scaling.scaling(**{**RUN, **changes}).notes
  assert says in note


def test_ones_own_law_takes_the_place_of_the_published(tmp_path):
  file, law = tmp_path / "law.json", Law(A=100.0, B=900.0, E=2.0, alpha=0.28, beta=0.33)
  file.write_text(json.dumps(law._asdict()))
  assert scaling.read(str(file)) == law
  found = scaling.scaling(**{**RUN, "law": law, "source": str(file), "token": "byte"})
  assert found.source == str(file) and found.best.parameters == law.optimum(6e19)[0] and not found.notes


@pytest.mark.parametrize("text", ["{", "[1, 2, 3, 4, 5]", '{"A": 1, "B": 1, "E": 1, "alpha": 1}',
                                  '{"A": 1, "B": 1, "E": 1, "alpha": 1, "beta": 0}',
                                  '{"A": 1, "B": "1", "E": 1, "alpha": 1, "beta": 1}',
                                  '{"A": 1, "B": NaN, "E": 1, "alpha": 1, "beta": 1}',
                                  '{"A": 1, "B": 1, "E": 1, "alpha": 1, "beta": 1, "gamma": 1}'])
def test_a_bad_file_is_one_line(text, tmp_path):
  file = tmp_path / "law.json"
  file.write_text(text)
  with pytest.raises(ConfigError, match=r"--plan\.law=.*law\.json") as error:
    scaling.read(str(file))
  assert "\n" not in str(error.value)


def test_what_was_kept_is_read_again():
  found = scaling.scaling(**{**RUN, "passes": 2.0})
  assert scaling.restored(json.loads(json.dumps(dataclasses.asdict(found)))) == found


def test_a_task_is_asked_for_its_tokens_not_for_its_name():
  task = LanguageModeling(vocab_size=9, token="subword")
  assert task.tokens_in({"targets": jax.ShapeDtypeStruct((4, 8), "int32")}) == 32
  of = lambda **fields: scaling.speaks_of(types.SimpleNamespace(**fields))
  assert of(task=task, pretrained=None) and not of(task=task, pretrained=object())
  assert of(task=types.SimpleNamespace(tokens_in=len)) and not of(task=types.SimpleNamespace())
