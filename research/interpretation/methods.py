"""The methods of explanation, each a map of the input's places for a batch of examples.

Shapes: B examples, P... places (see research/interpretation/units.py), U units.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from research.interpretation import attention_flow, attribution
from research.interpretation.class_activation import grad_cam
from research.interpretation.integration import integrated_gradients
from research.interpretation.masking import occlusion, rise
from research.interpretation.probing import Case, Probe, Weights
from research.interpretation.rewriting import NotThere
from research.interpretation.settings import METHODS, Explain


@dataclasses.dataclass(frozen=True)
class Explainer:
  """All methods with their settings.

  Attributes:
    probe: the network.
    settings: of the methods.
    lengths: of the texts that an input consists of; () for other inputs.
  """

  probe: Probe
  settings: Explain
  lengths: tuple[int, ...]

  def applicable(self, weights: Weights, case: Case) -> tuple[tuple[str, ...], dict[str, str]]:
    """The methods that there are for this network, of those that were asked for; and why the others are not."""
    x = jax.eval_shape(self.probe.inputs, weights, case)
    missing = {}
    for name in self.settings.methods or METHODS:
      try:
        if name in self._single:
          jax.eval_shape(lambda w, c, x, name=name: self._single[name](self.probe.score(w, c), x, c), weights, case, x)
      except NotThere as reason:
        missing[name] = str(reason)
    return tuple(name for name in self.settings.methods or METHODS if name not in missing), missing

  def map(self, name: str, weights: Weights, case: Case, *, num_steps: int | None = None) -> np.ndarray:
    """(B, P...) float32. Signed for CONTRIBUTIONS and RISE; else how much a place matters, at least 0.

    Args:
      name: of METHODS.
      weights: trained or not.
      case: what is explained.
      num_steps: of integrated gradients; None for as many as it takes.
    """
    probe, settings, units = self.probe, self.settings, self.probe.units
    match name:
      case "smoothgrad":
        seeds = settings.seed + np.arange(settings.smoothgrad_samples)
        total = probe.noise_gradient(weights, case, seeds, settings.smoothgrad_noise)
        found = units.places_of(jnp.abs(total / settings.smoothgrad_samples))
      case "integrated_gradients":
        found = units.places_of(self.integrated(weights, case, num_steps=num_steps).attributions)
      case "occlusion":
        found = units.spread(jnp.asarray(occlusion(probe, weights, case)))
      case "rise":
        found = units.spread(jnp.asarray(rise(probe, weights, case, num_masks=settings.rise_masks, seed=settings.seed)))
      case _:
        found = probe.whole(name, self._single[name])(weights, case)
    return np.asarray(found, np.float32)

  def integrated(self, weights: Weights, case: Case, *, num_steps: int | None = None):
    """Integrated gradients, with their gap and number of steps."""
    return integrated_gradients(self.probe, weights, case, tolerance=self.settings.tolerance,
                                max_steps=self.settings.max_steps, num_steps=num_steps)

  @property
  def _single(self) -> dict[str, Callable]:
    """What takes one pass: (score, x, case) -> (B, P...)."""
    units = self.probe.units
    magnitude = lambda method: lambda score, x, case: units.places_of(jnp.abs(method(score, x)))
    flow = lambda method: lambda score, x, case: self._on_places(method(attention_flow.attention_of(score, x), self.lengths))
    return {
        "gradient": magnitude(attribution.gradient),
        "guided_backpropagation": magnitude(attribution.guided_backpropagation),
        "gradient_x_input": lambda score, x, case: units.places_of(attribution.gradient(score, x) * (x - case.baseline)),
        "grad_cam": lambda score, x, case: self._enlarged(grad_cam(score, x, self.probe.attachment.views)),
        "attention_rollout": flow(attention_flow.rollout),
        "gradient_attention": flow(attention_flow.gradient_weighted),
    }

  def _enlarged(self, map_Bhw: jax.Array) -> jax.Array:
    places = self.probe.units.places
    fine = jax.image.resize(map_Bhw, (len(map_Bhw), places[0] // self.probe.attachment.views, *places[1:]), "linear")
    return fine.reshape(-1, *places)

  def _on_places(self, found_BN: jax.Array) -> jax.Array:
    """Attention's positions on the input's places: patches row by row behind a token or two, or steps in time."""
    places, num = self.probe.units.places, found_BN.shape[1]
    if self.lengths or places == (num,):
      return found_BN
    if self.probe.attachment.views > 1:
      raise NotThere("the attention of several views is not followed")
    for prefix in range(3):
      rows = round(math.sqrt((num - prefix) * places[0] / places[-1]))
      if len(places) == 2 and self.probe.units.has_channels and rows > 1 and (num - prefix) % rows == 0:
        return self._enlarged(found_BN[:, prefix:].reshape(-1, rows, (num - prefix) // rows))
    if num > places[0]:
      raise NotThere(f"attention between {num} positions, which are not the input's {places}")
    in_time = jax.image.resize(found_BN, (len(found_BN), places[0]), "linear")
    return in_time if len(places) == 1 else jnp.broadcast_to(in_time[..., None] / places[1], (len(found_BN), *places))

