"""Integrated gradients add up to the change of the score, up to the error of the integral (Sundararajan et al. 2017).

The score is the logit of the class that the network answers, the baseline a black image. The gap is taken of each image
by itself, relative to the change of its score, and averaged.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from research.figures import Figure, Mark, Pictures, Series
from research.interpretation import attribution
from research.studies import digits_cnn
from research.studies.base import Findings, Parts, Study

_SHOWN = 6  # images in the report
_LIMITS = ((20, 0.05), (50, 0.01), (300, 0.001))  # drawn into the figure: the claim at these steps


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntegratedGradientsCompleteness(Study):
  """The completeness gap of a trained network by the number of steps of the integral.

  Attributes:
    recipe: the network and its training.
    epochs: passes over the training images.
    num_images: test images explained.
    num_steps: numbers of midpoints, rising.
  """

  recipe: digits_cnn.Recipe = digits_cnn.RECIPE
  epochs: int = 30
  num_images: int = 100
  num_steps: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100, 300)

  def __post_init__(self):
    if not self.num_steps or min(self.num_steps) < 1 or list(self.num_steps) != sorted(set(self.num_steps)):
      raise ValueError(f"num_steps={self.num_steps}: numbers from 1 that rise")

  def objective(self, seed: int, data_dir=None):
    return digits_cnn.objective(self.recipe, seed)

  def _explain(self, seed: int) -> dict:
    digits = digits_cnn.load()
    apply, params, _ = digits_cnn.train(self.recipe, digits.images, digits.labels, seed=seed, epochs=self.epochs)
    images = jnp.asarray(digits.test_images[:self.num_images])
    classes = apply(params, images).argmax(-1)

    @functools.partial(jax.jit, static_argnums=1)
    def explain(params, num_steps):
      score = attribution.class_score(lambda x: apply(params, x), classes)
      values = attribution.integrated_gradients(score, images, 0.0, num_steps)
      return values, attribution.completeness_gap(score, images, 0.0, values)

    maps, gaps = zip(*(explain(params, m) for m in self.num_steps))
    gradients = attribution.gradient(attribution.class_score(lambda x: apply(params, x), classes), images)
    dead = ~np.concatenate([digits.images, digits.test_images]).any(0)
    of_dead = lambda values: float(np.abs(np.asarray(values)[:, dead]).max())
    return {
        "accuracy": digits_cnn.accuracy(apply, params, digits.test_images, digits.test_labels),
        "gaps": [gap.mean() for gap in gaps], "largest_gaps": [gap.max() for gap in gaps],
        "dead_pixels": int(dead.sum()), "dead_attribution": max(map(of_dead, maps)),
        "dead_gradient": of_dead(gradients), "maps": maps[-1][:_SHOWN]}

  def measure(self, seed: int, parts: Parts) -> Findings:
    (found,) = parts.each("net", ["digits"], lambda _: self._explain(seed))
    metrics = {f"gap_{m}": float(gap) for m, gap in zip(self.num_steps, found["gaps"])}
    metrics |= {key: found[key] for key in ("accuracy", "dead_attribution", "dead_gradient")}
    steps = np.asarray(self.num_steps, float)
    images = [digits_cnn.picture("image", image) for image in digits_cnn.load().test_images[:len(found["maps"])]]
    maps = [digits_cnn.picture("|attribution|", values) for values in found["maps"]]
    return Findings(
        metrics=metrics,
        figures=(
            Figure(title="What the attributions leave unexplained", x_label="steps of the integral m",
                   y_label="relative gap", x_scale="log", y_scale="log",
                   marks=tuple(Mark("y", limit, f"{limit:.3g} at m = {m}") for m, limit in _LIMITS),
                   series=(Series("mean over images", steps, found["gaps"]),
                           Series("largest", steps, found["largest_gaps"])),
                   caption="The gap falls about as 1/m, not as the midpoint rule's 1/m²: relu's kinks are crossed "
                           "along the path."),
            Pictures("Integrated gradients of the network's answer", (tuple(images), tuple(maps)))),
        notes=(f"{found['dead_pixels']} of 64 pixels are black in every image; they get exactly nothing because the "
               "attribution is a multiple of the pixel's difference from the baseline.",))
