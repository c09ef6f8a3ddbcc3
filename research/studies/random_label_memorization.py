"""A network that generalises well also fits labels that mean nothing (Zhang et al. 2017)."""

import dataclasses

import numpy as np

from research.figures import Figure, Series
from research.studies import digits_cnn
from research.studies.base import Findings, Parts, Study

_LABELS = ("random", "true")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomLabelMemorization(Study):
  """The same network trained on random and on true labels. Test accuracy is always by the true ones.

  Attributes:
    recipe: the network and its training.
    epochs: passes over the training images.
  """

  recipe: digits_cnn.Recipe = digits_cnn.RECIPE
  epochs: int = 150

  def objective(self, seed: int, data_dir=None):
    return digits_cnn.objective(self.recipe, seed)

  def measure(self, seed: int, parts: Parts) -> Findings:
    digits = digits_cnn.load()

    def run(kind):
      labels = digits.labels if kind == "true" else digits_cnn.random_labels(len(digits.images), seed)
      apply, params, losses = digits_cnn.train(self.recipe, digits.images, labels, seed=seed, epochs=self.epochs)
      return {"losses": losses, "train_accuracy": digits_cnn.accuracy(apply, params, digits.images, labels),
              "test_accuracy": digits_cnn.accuracy(apply, params, digits.test_images, digits.test_labels)}

    found = dict(zip(_LABELS, parts.each("labels", _LABELS, run)))
    metrics = {f"{kind}_{name}": found[kind][name] for kind in _LABELS for name in ("train_accuracy", "test_accuracy")}
    curves = tuple(Series(f"{kind} labels", np.arange(1, self.epochs + 1), found[kind]["losses"]) for kind in _LABELS)
    return Findings(metrics=metrics, figures=(
        Figure(title="Random labels are learned too, only later", x_label="epoch", y_label="training loss",
               y_scale="log", series=curves,
               caption="Both losses go to zero; only one of the networks knows anything about new images."),))
