"""Do saliency maps change when the network forgets what it learned? (Adebayo et al. 2018.)

Layers get fresh weights one after another from the top, and maps of |attribution| are compared with the trained
network's by Spearman's rank correlation over the pixels, averaged over images. A second network is trained on random
labels from weights of its own. Every map is of one and the same logit: the class that the trained network answers.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from research.figures import Figure, Mark, Pictures, Series
from research.interpretation import attribution
from research.interpretation.randomization import cascade, spearman
from research.studies import digits_cnn
from research.studies.base import Findings, Parts, Study

METHODS = ("gradient", "guided_backpropagation", "integrated_gradients", "gradient_x_input")
_TRAINED, _RANDOM_LABELS = "trained", "random labels"
_FRESH, _OTHER = 1_000, 2_000  # added to the seed: weights that have nothing to do with the trained network's


@dataclasses.dataclass(frozen=True, kw_only=True)
class SaliencySanityChecks(Study):
  """Correlation of maps with those of the trained network, as layers are initialised anew.

  Attributes:
    recipe: the network and its training.
    epochs: passes over the training images.
    random_label_epochs: passes of the network that is trained on random labels.
    num_images: test images explained.
    num_steps: midpoints of integrated gradients.
  """

  recipe: digits_cnn.Recipe = digits_cnn.RECIPE
  epochs: int = 30
  random_label_epochs: int = 150
  num_images: int = 100
  num_steps: int = 50

  def objective(self, seed: int, data_dir=None):
    return digits_cnn.objective(self.recipe, seed)

  def measure(self, seed: int, parts: Parts) -> Findings:
    digits, layers = digits_cnn.load(), digits_cnn.layers_from_the_top(self.recipe)
    images = jnp.asarray(digits.test_images[:self.num_images])

    @functools.cache
    def trained():
      apply, params, _ = digits_cnn.train(self.recipe, digits.images, digits.labels, seed=seed, epochs=self.epochs)
      classes = apply(params, images).argmax(-1)
      return apply, params, jax.jit(lambda params: self._maps(lambda x: apply(params, x), images, classes))

    @functools.cache
    def networks():
      _, fresh = digits_cnn.build(self.recipe, seed + _FRESH)
      return {_TRAINED: trained()[1], **dict(cascade(trained()[1], fresh, layers))}

    def maps(net):
      apply, _, explain = trained()
      if net == _RANDOM_LABELS:
        labels = digits_cnn.random_labels(len(digits.images), seed)
        _, params, _ = digits_cnn.train(
            self.recipe, digits.images, labels, seed=seed + _OTHER, epochs=self.random_label_epochs)
        memorised = digits_cnn.accuracy(apply, params, digits.images, labels)
      else:
        params, memorised = networks()[net], None
      return {"maps": explain(params), "memorised": memorised}

    nets = [_TRAINED, *layers, _RANDOM_LABELS]
    found = dict(zip(nets, parts.each("maps", nets, maps)))
    return self._compare(seed, images, layers, found)

  def _maps(self, logits, images, classes):
    score = attribution.class_score(logits, classes)
    return {"gradient": attribution.gradient(score, images),
            "guided_backpropagation": attribution.guided_backpropagation(score, images),
            "integrated_gradients": attribution.integrated_gradients(score, images, 0.0, self.num_steps),
            "gradient_x_input": attribution.gradient_x_input(score, images)}

  def _compare(self, seed: int, images, layers: list[str], found: dict) -> Findings:
    magnitude = lambda net, method: jnp.abs(jnp.asarray(found[net]["maps"][method]))
    mean_correlation = lambda a, b: float(spearman(a, b).mean())
    noise = jax.random.uniform(jax.random.key(seed), images.shape)
    curves = {m: [mean_correlation(magnitude(_TRAINED, m), magnitude(net, m)) for net in (_TRAINED, *layers)]
              for m in METHODS}
    random_labels = {m: mean_correlation(magnitude(_TRAINED, m), magnitude(_RANDOM_LABELS, m)) for m in METHODS}
    masked_noise = mean_correlation(magnitude(_TRAINED, "integrated_gradients"), noise * images)
    metrics = {f"{m}_reinitialised": curve[-1] for m, curve in curves.items()}
    metrics |= {f"{m}_random_labels": value for m, value in random_labels.items()}
    metrics |= {"noise": mean_correlation(magnitude(_TRAINED, "gradient"), noise), "masked_noise": masked_noise,
                "memorised": found[_RANDOM_LABELS]["memorised"]}
    names = [m.replace("_", " ") for m in METHODS]
    limits = (Mark("y", 0.25, "gradient ≤"), Mark("y", 0.4, "guided ≥"), Mark("y", 0.8, "times input ≥"))
    nets = (_TRAINED, *layers, _RANDOM_LABELS)
    rows = [tuple(digits_cnn.picture(net, found[net]["maps"][m][0]) for net in nets) for m in METHODS]
    return Findings(
        metrics=metrics,
        figures=(
            Figure(title="Maps as the network forgets, from the top", marks=limits,
                   x_label=f"layers with fresh weights: {', '.join(layers)}", y_label="rank correlation of |map|",
                   series=tuple(Series(name, range(len(layers) + 1), curves[m]) for name, m in zip(names, METHODS)),
                   caption="0 is the trained network itself. A map that stays high shows the input, not the learning."),
            Figure(title="A network that learned random labels", x_label="method", y_label="rank correlation of |map|",
                   series=(Series("with the trained network's map", names, list(random_labels.values()), kind="bars"),),
                   marks=limits),
            Pictures(f"|map| of one image; rows: {', '.join(names)}",
                     ((digits_cnn.picture("image", images[0]),), *rows))),
        notes=(f"The image times noise, with no network at all, correlates {masked_noise:.2f} with integrated "
               f"gradients (seed {seed}): what stays of maps multiplied by the input is the input's mask.",))
