"""The mode explain from a run's folder to its report: of images, broken off and gone on with."""

import json

import numpy as np
import pytest
from etils import epath

from experiments.quickstart import digits
from research.config import ConfigError, Duration, override, to_json
from research.interpretation.settings import Explain
from research.modes import explain
from research.modes.base import Context
from research.training.interruption import Interrupted, Interruption
from research.workdir import Run, write_json

SETTINGS = Explain(num_examples=12, num_checked=8, methods=("gradient", "integrated_gradients", "guided_backpropagation"),
                   subsets=16, curve_steps=4, disturbances=1, forgotten=2, influenced=2, num_train=128)


@pytest.mark.heavy
def test_a_run_is_explained_and_what_was_done_is_not_done_again(tmp_path, monkeypatch, capfd):
  monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
  experiment = override(digits(), {"training.steps": Duration(10, "ep")})
  folder = epath.Path(tmp_path / "run")
  folder.mkdir()
  write_json(folder / "config.json", to_json(experiment))

  def context(interruption):
    return Context(name="digits", summary="Digits.", experiment=experiment, default=experiment, seeds=(0,), data_dir=None,
                   workdir=str(folder), member=None, interruption=interruption)

  with Interruption() as interruption, pytest.raises(ConfigError, match="train first"):
    explain.run(context(interruption), SETTINGS)
  with Interruption() as interruption:
    experiment.measure(0, Run(folder, None, interruption))

  real, calls = explain.examination.examine, []

  def broken_off(*args, **kwargs):
    calls.append(None)
    if len(calls) == 2:
      raise Interrupted()
    return real(*args, **kwargs)

  monkeypatch.setattr(explain.examination, "examine", broken_off)
  with Interruption() as interruption:
    with pytest.raises(Interrupted):
      explain.run(context(interruption), SETTINGS)
    assert explain.run(context(interruption), SETTINGS) == 0
    assert len(calls) == 3  # two batches, one of them begun twice
    assert explain.run(context(interruption), SETTINGS) == 0
    assert len(calls) == 3
  found = json.loads((folder / "explain" / "explain.json").read_text())
  assert len(found["answers"]) == 12 and found["methods"].keys() == {*SETTINGS.methods, "random"}
  # The checks of saliency_sanity_checks, in this mode: what is multiplied by the input stays, the gradient does not.
  forgot = {name: list(its["rank correlation after forgetting"].values())[1]["mean"] for name, its in found["methods"].items()
            if name != "random"}
  assert forgot["gradient"] < 0.4 < forgot["integrated_gradients"]
  assert found["methods"]["integrated_gradients"]["completeness_gap"]["mean"] < 0.03
  for kinds in found["influence"]["of"].values():
    assert all(np.diff([value for _, value in one["helpful"]]).max() <= 0 for one in kinds)
  pictures = list((folder / "explain").glob("*_gradient.png"))
  page = (folder / "explain" / "report.html").read_text()
  assert len(pictures) == 8 and "guided backpropagation" in page and "TracIn" in page
