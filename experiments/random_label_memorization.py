"""A convolutional network fits random labels perfectly, and then knows nothing about new images.

Zhang, Bengio, Hardt, Recht, Vinyals 2017, "Understanding Deep Learning Requires Rethinking Generalization".

  python launch.py --experiment=random_label_memorization

About three minutes on two CPU cores. Expected: training accuracy 1.000 on random labels with test accuracy about 0.1, chance;
on true labels the same network reaches 0.98 or more. 1,297 digits instead of CIFAR-10 and ImageNet, so the claim is
tested.
"""

from research.paper import Paper, Target, at_least, between
from research.studies.random_label_memorization import RandomLabelMemorization


def experiment() -> RandomLabelMemorization:
  return RandomLabelMemorization(
      paper=Paper("Understanding Deep Learning Requires Rethinking Generalization",
                  "Zhang, Bengio, Hardt, Recht, Vinyals", 2017, "ICLR", "https://arxiv.org/abs/1611.03530"),
      targets=(
          Target(metric="random_train_accuracy", criterion=at_least(0.999), place="abstract",
                 says="networks easily fit a random labelling of the training data"),
          Target(metric="random_test_accuracy", criterion=between(0.06, 0.14), place="abstract",
                 says="what was fitted is no knowledge: chance on new images"),
          Target(metric="true_test_accuracy", criterion=between(0.06, 0.14), control=True,
                 says="the same network and training on true labels does generalise"),
      ),
      seeds=(0, 1, 2))
