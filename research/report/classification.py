"""What a report shows of a classifier, as figures: made from the evaluator's records, the examples and the parameters.

N examples, C classes, M bins of confidence, D features.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from research.augmentation.base import OnDevice
from research.augmentation.normalize import Normalize
from research.figures import Figure, Matrix, Picture, Pictures, Series, Table
from research.metrics.classification import NUM_BINS, calibration_error, calibration_rows, reliability
from research.metrics.confusion import class_accuracy, confusion_matrix, most_confused

NO_ANSWER = "no answer"

_SHEET, _FILTERS, _BATCH = 8, 64, 16  # pictures
_READABLE = 20  # classes that a matrix or bars can name
_COLOURED, _POINTS = 16, 1000  # classes that can be told apart, and points, in a plane


def evaluation_figures(records: Mapping[str, np.ndarray], read: Callable, *, split: str,
                       num_classes: int, names: Sequence[str] | None = None) -> tuple[Figure | Matrix | Pictures | Table, ...]:
  """All figures of one split.

  Args:
    records: "index", "label", "prediction", "confidence" of each example (N,).
    read: numbers of examples (n,) to their inputs (n, ...), of which only images become pictures, of views (n, V, H, W, C)
      the first; or to n texts.
    split: its name, which goes into the titles.
    num_classes: classes.
    names: of the classes; numbers if None.
  """
  names = class_names(num_classes, names)
  matrix = confusion_matrix(records["label"], records["prediction"], num_classes)
  return (*calibration(records, split), *accuracy_by_class(matrix, names, split), *confusions(matrix, names, split),
          *examples(records, read, names, split))


def class_names(num_classes: int, names: Sequence[str] | None) -> tuple[str, ...]:
  """The names, or numbers where there are none for each class; different ones even where the data name two alike."""
  if names is None or len(names) != num_classes:
    return tuple(map(str, range(num_classes)))
  return tuple(f"{name} ({c})" if list(names).count(name) > 1 else str(name) for c, name in enumerate(names))


# --- from records ----------------------------------------------------------------------------------------------------


def calibration(records: Mapping[str, np.ndarray], split: str) -> tuple[Figure, ...]:
  """The reliability diagram (Guo et al. 2017, figure 1), with how many examples have which confidence."""
  known = np.isfinite(records["confidence"])
  if not known.any():
    return ()
  right = records["label"] == records["prediction"]
  rows_NM = calibration_rows(jnp.asarray(records["confidence"][known]), jnp.asarray(right[known]))
  sums = np.asarray(rows_NM, np.float64).sum(0)
  count, confidence, accuracy = reliability(sums)
  middle, held = (np.arange(NUM_BINS) + 0.5) / NUM_BINS, count > 0
  return (Figure(
      f"Calibration, {split}", "confidence", "accuracy",
      (Series("share of examples", middle, count / count.sum(), "bars"),
       Series("accuracy", confidence[held], accuracy[held], "points"), Series("calibrated", (0.0, 1.0), (0.0, 1.0), "theory")),
      f"Over {NUM_BINS} bins of confidence. Below the dashed line the network is more confident than right.",
      facts=(("Expected calibration error", calibration_error(sums)),)),)


def accuracy_by_class(matrix: np.ndarray, names: Sequence[str], split: str) -> tuple[Figure, ...]:
  """A bar a class; where they are many, how many have which accuracy."""
  accuracy, count = class_accuracy(matrix), matrix.sum(1)
  present = np.flatnonzero(count)
  if not len(present):
    return ()
  title, facts = f"Accuracy by class, {split}", (("Mean over classes", float(np.mean(accuracy[present]))),)
  missing = [names[c] for c in np.flatnonzero(count == 0)]
  words = [f"No examples of {_listed(missing)}."] if missing else []
  if len(present) <= _READABLE:
    bars = Series("accuracy", [names[c] for c in present], accuracy[present], "bars")
    return (Figure(title, "", "accuracy", (bars,), " ".join(words), facts=facts),)
  held, edges = np.histogram(accuracy[present], bins=10, range=(0, 1))
  worst = present[np.argsort(accuracy[present], kind="stable")[:5]]
  words.insert(0, f"The least accurate: {', '.join(f'{names[c]} {accuracy[c]:.0%}' for c in worst)}.")
  bars = Series("classes", (edges[:-1] + edges[1:]) / 2, held, "bars")
  return (Figure(title, "accuracy of a class", "classes", (bars,), " ".join(words), facts=facts),)


def confusions(matrix: np.ndarray, names: Sequence[str], split: str) -> tuple[Matrix | Table, ...]:
  """The confusion matrix where it can be read, else the most frequent confusions."""
  if len(names) > _READABLE:
    count = matrix.sum(1)
    rows = [(names[true], names[predicted], num, num / int(count[true])) for true, predicted, num in most_confused(matrix, 20)]
    return (Table(f"Most frequent confusions, {split}", ("true", "predicted", "examples", "share of the true class"),
                  tuple(rows)),) if rows else ()
  columns, undecided = tuple(names), matrix[:, -1].any()
  cells = matrix if undecided else matrix[:, :-1]
  note = f" {NO_ANSWER.capitalize()}: two classes were equally likely, or the outputs not finite." if undecided else ""
  return (Matrix(f"Confusion matrix, {split}", tuple(names), (*columns, NO_ANSWER) if undecided else columns,
                 tuple(map(tuple, cells.tolist())), "true", "predicted",
                 f"Examples by class, shaded by their share of the row; errors in the second colour.{note}"),)


def examples(records: Mapping[str, np.ndarray], read: Callable, names: Sequence[str],
             split: str) -> tuple[Pictures | Table, ...]:
  """Sheets of the most confidently wrong, and of the least and the most certain right examples; of texts tables."""
  label, prediction, confidence = (records[name] for name in ("label", "prediction", "confidence"))
  usable = np.isfinite(confidence) & (prediction >= 0)
  right, wrong = (np.flatnonzero(usable & where) for where in (label == prediction, label != prediction))
  ordered = lambda chosen: chosen[np.argsort(confidence[chosen], kind="stable")]
  last = lambda chosen: ordered(chosen)[::-1][:_SHEET]
  sheets = (("Most confidently wrong", last(wrong)), ("Right, the least certain", ordered(right)[:_SHEET]),
            ("Right, the most certain", last(right)))
  made = []
  for title, chosen in sheets:
    inputs = read(records["index"][chosen]) if len(chosen) else ()
    if len(inputs) and isinstance(inputs[0], str):
      rows = [(names[label[n]], names[prediction[n]], float(confidence[n]), text) for n, text in zip(chosen, inputs)]
      made.append(Table(f"{title}, {split}", ("true", "predicted", "confidence", "text"), tuple(rows)))
    elif (images := _images(inputs)) is not None:
      words = [f"{names[label[n]]}{'' if label[n] == prediction[n] else f' → {names[prediction[n]]}'}, {confidence[n]:.1%}"
               for n in chosen]
      made.append(Pictures(f"{title}, {split}", (tuple(map(Picture.of, words, images)),),
                           "True class → predicted class, confidence." if title.endswith("wrong") else ""))
  return tuple(made)


def _images(inputs: ArrayLike) -> np.ndarray | None:
  """(n, H, W) or (n, H, W, C) of 1 or 3 channels; None of what is no image."""
  inputs = np.asarray(inputs)
  inputs = inputs[:, 0] if inputs.ndim == 5 else inputs
  return inputs if inputs.ndim == 4 and inputs.shape[-1] in (1, 3) else None


def _listed(names: Sequence[str]) -> str:
  return ", ".join(names) if len(names) <= 5 else f"{', '.join(names[:4])} and {len(names) - 4} others"


# --- from batches, parameters and features ---------------------------------------------------------------------------


def training_batch(batch: Mapping[str, Any], on_device: Sequence[OnDevice], *, num_classes: int,
                   names: Sequence[str] | None = None) -> tuple[Pictures, ...]:
  """The first examples of a training batch as the network sees them.

  Args:
    batch: after the transforms on the device.
    on_device: those transforms; the normalisation among them is undone.
    num_classes: classes.
    names: of the classes.
  """
  names = class_names(num_classes, names)
  real = np.flatnonzero(np.asarray(batch["mask"]))[:_BATCH]
  batch = {name: np.asarray(array)[real] for name, array in batch.items()}
  images = _images(_pixels(batch["inputs"], on_device)) if len(real) else None
  if images is None:
    return ()
  shares = batch["mixed_share"] if "mixed_labels" in batch else np.zeros(len(real))
  others = batch["mixed_labels"] if "mixed_labels" in batch else batch["labels"]
  words = [_mixed(*pair, float(share), names) for *pair, share in zip(batch["labels"], others, shares)]
  return (Pictures("A training batch as the network sees it", (tuple(map(Picture.of, words, images)),),
                   "After all augmentation; the normalisation is undone. Where labels are mixed their shares are given."),)


def _mixed(label, other, share: float, names: Sequence[str]) -> str:
  first, second = (names[int(c.argmax()) if np.ndim(c) else int(c)] for c in (label, other))
  shares = sorted([(1 - share, first), (share, second)], reverse=True)
  return shares[0][1] if first == second or shares[1][0] < 0.005 else ", ".join(f"{part:.0%} {name}" for part, name in shares)


def _pixels(inputs: np.ndarray, on_device: Sequence[OnDevice]) -> np.ndarray:
  """Network inputs as uint8: the inverse of `Normalize`; other floats from their minimum..maximum."""
  if inputs.dtype == np.uint8:
    return inputs
  norm = next((t for t in on_device if isinstance(t, Normalize) and t.name == "inputs"), None)
  if norm is None:
    low, high = np.nanmin(inputs), np.nanmax(inputs)
    inputs = (inputs - low) / max(high - low, 1e-12) * 255
  else:
    inputs = inputs * np.array(norm.std, np.float32) + np.array(norm.mean, np.float32)
    inputs = inputs[..., ::-1] if norm.bgr else inputs
  return np.round(np.clip(np.nan_to_num(inputs), 0, 255)).astype(np.uint8)


def first_filters(params: Mapping[str, Any], on_device: Sequence[OnDevice], num_channels: int) -> tuple[Pictures, ...]:
  """The kernels of the first convolution (or patch embedding): the first (H, W, C, filters) with the images' channels.

  Each is scaled by its own largest weight, with 0 in the middle: grey adds nothing.
  """
  kernels = (np.asarray(leaf) for leaf in _leaves(params) if np.ndim(leaf) == 4 and leaf.shape[2] == num_channels)
  kernel = next((k for k in kernels if min(k.shape[:2]) > 1), None)
  if kernel is None or num_channels not in (1, 3):
    return ()
  if any(isinstance(t, Normalize) and t.bgr for t in on_device):
    kernel = kernel[:, :, ::-1]
  shown = np.moveaxis(kernel, -1, 0)[:_FILTERS].astype(np.float32)
  scale = np.maximum(np.abs(shown).max(axis=(1, 2, 3), keepdims=True), 1e-12)
  pixels = np.round(127.5 * (1 + np.nan_to_num(shown / scale))).astype(np.uint8)
  of = f"{len(shown)} of {kernel.shape[-1]}" if len(shown) < kernel.shape[-1] else f"All {len(shown)}"
  caption = f"{of} filters of {kernel.shape[0]} x {kernel.shape[1]} pixels, each scaled by its largest weight; grey is 0."
  return (Pictures("Filters of the first layer", (tuple(Picture.of("", p) for p in pixels),), caption),)


def _leaves(tree):
  for value in tree.values():
    if isinstance(value, Mapping):
      yield from _leaves(value)
    else:
      yield value


def feature_plane(features_ND: np.ndarray, labels_N: np.ndarray, *, num_classes: int, names: Sequence[str] | None = None,
                  method: Literal["pca", "tsne"] = "pca") -> tuple[Figure, ...]:
  """Features in two dimensions, coloured by class; examples evenly taken where there are many.

  Args:
    features_ND: what the network's head sees.
    labels_N: classes.
    num_classes: classes; the most frequent ones have a colour.
    names: of the classes.
    method: the plane of the largest variance, or t-SNE (van der Maaten and Hinton 2008), which keeps neighbours but neither
      distances nor sizes.
  """
  names = class_names(num_classes, names)
  finite = np.flatnonzero(np.isfinite(features_ND).all(1))
  taken = finite[np.linspace(0, len(finite) - 1, min(len(finite), _POINTS)).astype(int)] if len(finite) else finite
  features, labels = np.asarray(features_ND, np.float64)[taken], np.asarray(labels_N)[taken]
  if len(taken) < 3 or features.shape[1] < 2:
    return ()
  if method == "pca":
    left, values, _ = np.linalg.svd(features - features.mean(0), full_matrices=False)
    places = left[:, :2] * values[:2]
    places *= np.sign(places[np.abs(places).argmax(0), (0, 1)] + 1e-300)  # else the signs are left to chance
    share = values[:2] ** 2 / max((values**2).sum(), 1e-300)
    x_label, y_label = (f"component {i + 1}, {s:.0%} of the variance" for i, s in enumerate(share))
    caption = "What the network's head sees, in the plane of the largest variance."
  else:
    from sklearn.manifold import TSNE  # here: takes seconds to import
    from threadpoolctl import threadpool_limits  # comes with scikit-learn

    with threadpool_limits(1):  # its threads wait by spinning: on a busy machine that takes ten to a hundred times as long
      places = TSNE(perplexity=min(30, (len(taken) - 1) / 3), init="pca", random_state=0).fit_transform(features)
    x_label, y_label = "", ""
    caption = "What the network's head sees, by t-SNE: neighbours are near, distances and sizes mean nothing."
  count = np.bincount(labels, minlength=num_classes)
  coloured = np.sort(np.argsort(-count, kind="stable")[:_COLOURED])
  series = [Series(names[c], *places[labels == c].T, "points") for c in coloured if count[c]]
  rest = ~np.isin(labels, coloured)
  series += [Series("other classes", *places[rest].T, "points")] if rest.any() else []
  return (Figure("Features in two dimensions", x_label, y_label, tuple(series), caption, alone=True),)
