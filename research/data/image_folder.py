"""Images in folders, one for each class."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from absl import logging
from etils import epath

from research.data.examples import DataError, Examples
from research.data.files import find
from research.data.sources import Source
from research.preprocessing.transform import Features

_SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".ppm")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
  """A folder with a folder of image files for each class: `record`, the bytes of a file, read when they are needed, and
  `labels` int32, the number of the class among the folders' sorted names.

  Examples are in the order of their paths, so `limit` takes them from the first classes. An empty folder is a class as
  well, which keeps the numbers of two splits equal. Hidden files, files of other kinds and folders within the classes
  are left out; how many is logged.

  Attributes:
    path: the folder, below the data folder.
  """

  path: str

  def open_all(self, data_dir: str | None) -> "ImageFolderExamples":
    root = find(data_dir, self.path)
    classes = _class_folders(root)
    numbers = {name: number for number, name in enumerate(classes)}
    files, others = [], []
    for name in classes:
      for path in sorted((root / name).iterdir(), key=lambda path: path.name):
        wanted = path.suffix.lower() in _SUFFIXES and not path.name.startswith(".")
        (files if wanted else others).append((name, path.name))
    if not files:
      raise DataError(f"{root} holds no images: its {len(classes)} folders have no file that ends in one of "
                      f"{', '.join(_SUFFIXES)}")
    if others:
      logging.warning("%s: %d hidden files or files of other kinds are left out, first %s", root, len(others),
                      "/".join(others[0]))
    labels = np.array([numbers[name] for name, _ in files], np.int32)
    return ImageFolderExamples(root, self.path, ["/".join(file) for file in files], labels, classes)

  def class_names(self, data_dir: str | None) -> tuple[str, ...]:
    return _class_folders(find(data_dir, self.path))


class ImageFolderExamples(Examples):
  """The files of an image folder.

  Attributes:
    classes: the names of the classes, by their numbers.
  """

  def __init__(self, root: epath.Path, name: str, files: Sequence[str], labels: np.ndarray, classes: tuple[str, ...]):
    self._root, self._name, self._files, self._labels, self.classes = root, name.rstrip("/"), files, labels, classes

  def __len__(self) -> int:
    return len(self._files)

  def read(self, indices: np.ndarray) -> Features:
    return {"record": [(self._root / self._files[i]).read_bytes() for i in indices], "labels": self._labels[indices]}

  def key(self, index: int) -> str:
    return f"{self._name}/{self._files[index]}"


def _class_folders(root: epath.Path) -> tuple[str, ...]:
  if not root.is_dir():
    raise DataError(f"{root} is no folder with a folder for each class")
  names = sorted(path.name for path in root.iterdir() if not path.name.startswith(".") and path.is_dir())
  if not names:
    raise DataError(f"{root} holds no folders: images must be in a folder for each class")
  return tuple(names)
