"""On a few epochs the true labels are learned and the random ones are not yet: what the loss and the scores are of."""

import pytest
from parts import InMemory

from experiments import random_label_memorization
from research import config, paper


def test_test_accuracy_is_by_true_labels_and_training_accuracy_by_those_given():
  study = config.override(random_label_memorization.experiment(), {"epochs": 4})
  found = study.measure(0, InMemory())
  assert found.metrics["true_test_accuracy"] > 0.85 and found.metrics["true_train_accuracy"] > 0.85
  assert found.metrics["random_test_accuracy"] < 0.25 and found.metrics["random_train_accuracy"] < 0.4
  random, true = found.figures[0].series
  assert random.y[-1] > 1.8 > 0.6 > true.y[-1]
  verdicts = {t.metric: paper.judge(t, [found.metrics[t.metric]]).verdict for t in study.targets}
  assert verdicts["random_train_accuracy"] == "MISSED"  # four epochs memorise nothing
  assert verdicts["true_test_accuracy"] == "REPRODUCED"  # the control fails, as it must


@pytest.mark.heavy
def test_random_labels_are_memorised():
  found = random_label_memorization.experiment().measure(0, InMemory())
  assert found.metrics["random_train_accuracy"] >= 0.999
  assert 0.06 <= found.metrics["random_test_accuracy"] <= 0.14
