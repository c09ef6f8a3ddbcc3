"""scikit-learn's digits as a source."""

import numpy as np

from research.data.digits import Digits


def test_they_are_split_by_a_seeded_permutation():
  train, test = (Digits(split=s).open(None) for s in ("train", "test"))
  assert (len(train), len(test)) == (1297, 500)
  images = np.concatenate([x.read(np.arange(len(x)))["inputs"] for x in (train, test)])
  assert images.shape == (1797, 8, 8) and images.max() == 16 and len(np.unique(images, axis=0)) == 1797
  in_order = Digits(split="train", permutation=None).open(None)
  assert in_order.read(np.arange(5))["labels"].tolist() == [0, 1, 2, 3, 4]
