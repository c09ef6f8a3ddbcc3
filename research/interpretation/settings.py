"""What the mode explain can be told."""

import dataclasses
from typing import Literal, get_args

from research.config import ConfigError

Method = Literal["gradient", "gradient_x_input", "smoothgrad", "integrated_gradients", "guided_backpropagation", "grad_cam",
                 "occlusion", "rise", "attention_rollout", "gradient_attention"]
METHODS: tuple[Method, ...] = get_args(Method)
CONTRIBUTIONS = ("gradient_x_input", "integrated_gradients", "occlusion")  # what each part adds to the score


@dataclasses.dataclass(frozen=True, kw_only=True)
class Explain:
  """What is explained, and how.

  Attributes:
    split: the evaluation split whose examples are explained; None for the first.
    num_examples: examples, spread evenly over the split.
    answers: answers of an example that are explained, spread evenly, where it has several (the tokens of a text).
    methods: none for all that there are for the network.
    contrast: why this answer rather than the next best, not why this answer.
    baseline: what stands for "nothing there": zeros, as the network sees them, or each example's mean.
    cells: units along each side of an image or a spectrogram, at most.
    smoothgrad_samples: noisy copies.
    smoothgrad_noise: its standard deviation, of an example's range.
    tolerance: of integrated gradients: the completeness gap at which to stop, as a fraction.
    max_steps: of integrated gradients, at most.
    compared_steps: of integrated gradients, at most, where maps are compared, which takes a map for each disturbance and for
      each network that forgot.
    rise_masks: random masks.
    subsets: random subsets that a map's claims are held against.
    curve_steps: steps in which an input is deleted and inserted.
    num_checked: examples on which layers are forgotten and inputs disturbed, which costs as many maps each.
    forgotten: groups of layers that are forgotten, in turn and each by itself.
    disturbances: small changes of an input under which maps should stay.
    radius: their largest size, of an example's range.
    influenced: examples whose most helpful and most harmful training examples are looked for.
    num_train: training examples that are looked at for that, spread evenly.
    memory_mib: memory that one call may take beside the weights; more makes a GPU faster, but not a CPU.
    seed: of what is drawn.
  """

  split: str | None = None
  num_examples: int = 32
  answers: int = 4
  methods: tuple[Method, ...] = ()
  contrast: bool = False
  baseline: Literal["zero", "mean"] = "zero"
  cells: int = 8
  smoothgrad_samples: int = 16
  smoothgrad_noise: float = 0.15
  tolerance: float = 0.02
  max_steps: int = 432
  compared_steps: int = 48
  rise_masks: int = 128
  subsets: int = 64
  curve_steps: int = 12
  num_checked: int = 4
  forgotten: int = 3
  disturbances: int = 3
  radius: float = 0.02
  influenced: int = 4
  num_train: int = 2000
  memory_mib: int = 128
  seed: int = 0

  def __post_init__(self):
    least = {"num_examples": 2, "answers": 1, "cells": 2, "smoothgrad_samples": 1, "max_steps": 1, "compared_steps": 1,
             "rise_masks": 2, "subsets": 8, "curve_steps": 2, "num_checked": 0, "forgotten": 1, "disturbances": 0,
             "influenced": 0, "num_train": 1, "memory_mib": 1}
    for name, value in least.items():
      if getattr(self, name) < value:
        raise ConfigError(f"explain.{name}={getattr(self, name)}: must be {value} or more")
    if not self.tolerance > 0:
      raise ConfigError(f"explain.tolerance={self.tolerance}: must be above 0")
