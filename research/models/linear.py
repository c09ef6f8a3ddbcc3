"""Linear models: one dense layer, or several with nothing between them."""

import dataclasses

import jax
from flax import nnx

from research.models import mlp
from research.nn.initializers import Init


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """A linear model of the flattened inputs; with a softmax loss, multinomial logistic regression.

  Attributes:
    widths: widths of hidden layers, which makes it a deep linear network; () for none.
    bias: whether layers have one.
    init: initial weights.
    init_scale: a factor on them.
  """

  widths: tuple[int, ...] = ()
  bias: bool = True
  init: Init = "lecun_normal"
  init_scale: float = 1.0

  def build(self, inputs: jax.ShapeDtypeStruct, num_outputs: int, rngs: nnx.Rngs) -> mlp.MLP:
    """The network for inputs (B, ...)."""
    config = mlp.Config(
        widths=self.widths, activation="identity", bias=self.bias, init=self.init, init_scale=self.init_scale)
    return config.build(inputs, num_outputs, rngs)
