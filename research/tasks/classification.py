"""Classification: a softmax or one sigmoid a class, several labels' protocols, test-time views.

B examples, C classes, V views of an example, K valid labels.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from research.config import ConfigError
from research.metrics.base import Metric, RecordMetric
from research.metrics.classification import NUM_BINS, calibration_error, calibration_rows, one_hot, prediction, valid_rows
from research.metrics.confusion import balanced_accuracy, macro_f1, matthews_correlation
from research.preprocessing.answers import Labels
from research.preprocessing.text.answers import TextLabels
from research.tasks.application import Application, Given, Option, of_lengths
from research.tasks.base import of_inputs

Extra = Literal["nll", "brier", "calibration_error", "real_accuracy", "balanced_accuracy", "macro_f1", "matthews_correlation"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification:
  """One of several classes for an example.

  Texts are integers `inputs` (B, T) with `inputs_length` (B,); their network is told where there is padding.

  Attributes:
    num_classes: classes.
    label_smoothing: probability spread evenly over all classes in training (Szegedy et al. 2016, section 7).
    top: report top-k accuracy for these k.
    loss: cross-entropy of a softmax, or the sum over the classes of the binary cross-entropies of a sigmoid each
      (Beyer et al. 2020; Wightman et al. 2021 take the mean over the classes: the same at a rate num_classes times as high).
    extra_metrics: further metrics. nll: -log of the label's probability, without label smoothing or mixed labels; brier:
      squared distance of the probabilities from the label's; calibration_error: expected, 15 bins; real_accuracy: the
      prediction is one of `valid_labels` (B, K), padded with -1; balanced_accuracy and macro_f1: means over the classes, and
      matthews_correlation, all three in evaluation only.
    first_class: the network's output that is class 0. The ones before it (a background) are cut off: neither loss nor
      prediction knows them.
    protocol: put into all signatures, where images or labels are other ones than the name says: "imagenet-v2", "10-crop".
    view_mean: inputs (B, V, H, W, C) are V views of an example, whose probabilities or logits are averaged; None where an
      example is one image.
  """

  num_classes: int
  label_smoothing: float = 0.0
  top: tuple[int, ...] = (1,)
  loss: Literal["softmax", "sigmoid"] = "softmax"
  extra_metrics: tuple[Extra, ...] = ()
  first_class: int = 0
  protocol: str = ""
  view_mean: Literal["probability", "logit"] | None = None

  def __post_init__(self):
    if not 0 <= self.label_smoothing < 1:
      raise ConfigError(f"label_smoothing={self.label_smoothing}: must be at least 0 and below 1")
    if not all(1 <= k <= self.num_classes for k in self.top):
      raise ConfigError(f"top={self.top}: each must be from 1 to num_classes={self.num_classes}")
    if self.first_class < 0:
      raise ConfigError(f"first_class={self.first_class}: must be 0 or more")

  @property
  def num_outputs(self) -> int:
    return self.first_class + self.num_classes

  @property
  def metrics(self) -> dict[str, Metric]:
    unit = "nats" if self.loss == "softmax" else "nats, sigmoids"
    of = "" if self.loss == "softmax" else ", sigmoids"
    extra = {
        "nll": Metric(signature=self._signature(f"nats{of}")),
        "brier": Metric(signature=self._signature(f"sum over classes{of}")),
        "calibration_error": Metric(calibration_error, self._signature(f"top1, {NUM_BINS} equal bins{of}")),
        "real_accuracy": Metric(signature=self._signature("top1, any valid label"), better="higher"),
    }
    accuracies = {self._accuracy_name(k): Metric(signature=self._signature(f"top{k}"), better="higher") for k in self.top}
    return {"loss": Metric(signature=self._signature(unit)), **accuracies,
            **{name: metric for name, metric in extra.items() if name in self.extra_metrics}}

  @property
  def record_metrics(self) -> dict[str, RecordMetric]:
    """Metrics of `records`, in evaluation only."""
    known = {"balanced_accuracy": (balanced_accuracy, "top1, mean over classes"),
             "macro_f1": (macro_f1, "top1, mean over classes"), "matthews_correlation": (matthews_correlation, "top1")}
    of = lambda score: lambda records, weights: score(records["label"], records["prediction"], weights)
    return {name: RecordMetric(of(score), self._signature(what), better="higher")
            for name, (score, what) in known.items() if name in self.extra_metrics}

  def _accuracy_name(self, k: int) -> str:
    return "accuracy" if k == 1 else f"top{k}_accuracy"

  def _signature(self, what: str) -> str:
    outputs = f"classes are outputs {self.first_class} to {self.num_outputs - 1}" if self.first_class else ""
    return "|".join(filter(None, (what, self.protocol, self.view_mean and f"mean:{self.view_mean}", outputs)))

  @property
  def unit(self) -> str:
    return "examples"

  def network_inputs(self, batch):
    """What the network is called with: one view."""
    inputs = batch["inputs"]
    return jax.ShapeDtypeStruct((inputs.shape[0], *inputs.shape[2:]), inputs.dtype) if self._has_views(inputs) else inputs

  def _has_views(self, inputs) -> bool:
    return self.view_mean is not None and len(inputs.shape) == 5

  def forward(self, model, batch, key):
    """Logits (B, C). In evaluation the views of an example (B, V, H, W, C) are run as images and averaged."""
    inputs = batch["inputs"]
    if "inputs_length" in batch:
      return of_inputs(model, batch, key)[:, self.first_class:]
    if not self._has_views(inputs):
      if self.view_mean is not None and key is None:
        raise ConfigError(f"task.view_mean={self.view_mean}: inputs of an example are {inputs.shape[1:]}, not (V, H, W, C)")
      return of_inputs(model, batch, key)[:, self.first_class:]
    logits = model(inputs.reshape(-1, *inputs.shape[2:]), key=key)[:, self.first_class:]
    logits = _wide(logits).reshape(*inputs.shape[:2], -1)
    if self.view_mean == "logit":
      return logits.mean(1)
    # Logits of the mean probability, which what follows takes for the network's own.
    log_sum = lambda log_p: jax.nn.logsumexp(log_p, axis=1)
    if self.loss == "softmax":
      return log_sum(jax.nn.log_softmax(logits)) - jnp.log(inputs.shape[1])
    return log_sum(jax.nn.log_sigmoid(logits)) - log_sum(jax.nn.log_sigmoid(-logits))

  def _log_probabilities(self, logits):
    return jax.nn.log_softmax(logits) if self.loss == "softmax" else jax.nn.log_sigmoid(logits)

  def statistics(self, outputs, batch, *, training=False):
    """Rows of each metric.

    Args:
      outputs: logits (B, C).
      batch: "labels": (B,) integers, or (B, C) probabilities. In training also "mixed_labels" (B,) and "mixed_share" (B,)
        where examples were mixed: the loss is (1 - share) of the one label's and share of the other's; accuracy is that of
        "labels". With "real_accuracy" "valid_labels" (B, K).
      training: whether labels are smoothed.
    """
    logits = _wide(outputs)
    labels = batch["labels"]
    wanted = one_hot(labels, self.num_classes, logits.dtype)
    losses = self._losses(logits, self._targets(wanted, batch) if training else wanted)
    one = jnp.ones_like(losses)
    out = {"loss": jnp.stack([losses, one], 1)}
    # Rank of the right class: ties and what is not a number count against us: a constant is never right.
    truth = _classes(labels)
    right = jnp.take_along_axis(logits, truth[:, None], axis=1)
    rank = jnp.sum(~(logits < right), axis=-1)
    for k in self.top:
      out[self._accuracy_name(k)] = jnp.stack([(rank <= k).astype(logits.dtype), one], 1)
    if self.extra_metrics:
      out |= self._extra_rows(logits, wanted, rank <= 1, batch)
    return out

  def _extra_rows(self, logits, wanted, right, batch):
    log_p = self._log_probabilities(logits)
    with_one = lambda values: jnp.stack([values, jnp.ones_like(values)], 1)
    rows = {
        "nll": lambda: with_one(-jnp.sum(wanted * log_p, axis=-1)),
        "brier": lambda: with_one(jnp.sum((jnp.exp(log_p) - wanted) ** 2, axis=-1)),
        "calibration_error": lambda: calibration_rows(jnp.exp(log_p.max(-1)), right),
        "real_accuracy": lambda: valid_rows(logits, batch["valid_labels"]),
    }
    return {name: compute() for name, compute in rows.items() if name in self.extra_metrics}

  def _targets(self, wanted, batch):
    if "mixed_labels" in batch:
      share = batch["mixed_share"].astype(wanted.dtype)[:, None]
      wanted = wanted * (1 - share) + share * one_hot(batch["mixed_labels"], self.num_classes, wanted.dtype)
    return wanted * (1 - self.label_smoothing) + self.label_smoothing / self.num_classes

  def _losses(self, logits, targets):
    if self.loss == "softmax":
      return -jnp.sum(targets * jax.nn.log_softmax(logits), axis=-1)
    return -jnp.sum(targets * jax.nn.log_sigmoid(logits) + (1 - targets) * jax.nn.log_sigmoid(-logits), axis=-1)

  def records(self, outputs, batch):
    """Of each example (B,): "label", "prediction" (-1 where none is above all others), its "confidence", the "loss"."""
    logits = _wide(outputs)
    wanted = one_hot(batch["labels"], self.num_classes, logits.dtype)
    return {"label": _classes(batch["labels"]).astype(jnp.int32), "prediction": prediction(logits),
            "confidence": jnp.exp(self._log_probabilities(logits).max(-1)), "loss": self._losses(logits, wanted)}

  def application(self, given: Given) -> Application:
    """Probabilities of the classes."""
    labels = given.labels or tuple(map(str, range(self.num_classes)))
    lengths = of_lengths(("inputs",), given.lengths)

    def quality(answers, examples, raw):
      del raw
      right = [labels[label] == answer["labels"][0]["label"] for answer, label in zip(answers, examples["labels"], strict=True)]
      return "accuracy", sum(right) / len(right)

    def answer(model, batch):
      return {"probabilities": jnp.exp(self._log_probabilities(_wide(self.forward(model, batch, None))))}

    words = TextLabels(tokenizer="tokenizers/inputs", source="inputs") if given.modality == "text" else Labels()
    return Application(
        kind=f"{given.modality}-classification", features=("inputs",), words=words, labels=labels, quality=quality,
        lengths=lengths, unit={"text": "tokens", "audio": "samples", "image": "pixels"}[given.modality],
        explained="inputs",
        answer=answer,
        options={"top": Option(about="how many labels", default=min(5, len(labels)), low=1, high=len(labels))})

  def scores(self, outputs, targets):
    """The logit of class `targets` (B,) of each example."""
    return jnp.take_along_axis(outputs, targets[:, None], axis=1)[:, 0]

  def questions(self, outputs, batch):
    """The first class (B, 1), and the second."""
    del batch
    best_BK = jax.lax.top_k(outputs, min(2, self.num_classes))[1]
    return best_BK[:, :1], best_BK[:, 1:] if self.num_classes > 1 else None


def _wide(logits):
  return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))


def _classes(labels):
  return labels if labels.ndim == 1 else jnp.argmax(labels, axis=-1)
