"""Which saliency maps notice that the network has forgotten everything, and which only show the input.

Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim 2018, "Sanity Checks for Saliency Maps".

  python launch.py --experiment=saliency_sanity_checks

About four minutes on two CPU cores. Expected rank correlations after all layers got fresh weights: gradient 0.12,
guided backpropagation 0.65, integrated gradients and gradient x input 0.91; for a network trained on random labels
0.10, 0.49, 0.90, 0.90. Digits and a small network instead of Inception on ImageNet, so the claim is tested.
"""

from research.paper import Paper, Target, at_least, at_most, between
from research.studies.saliency_sanity_checks import SaliencySanityChecks


def experiment() -> SaliencySanityChecks:
  expected = {
      "gradient": (at_most(0.25), "the gradient map is destroyed"),
      "guided_backpropagation": (at_least(0.4), "guided backpropagation hardly changes"),
      "integrated_gradients": (at_least(0.8), "maps multiplied by the input hardly change"),
      "gradient_x_input": (at_least(0.8), "maps multiplied by the input hardly change"),
  }
  return SaliencySanityChecks(
      paper=Paper("Sanity Checks for Saliency Maps", "Adebayo, Gilmer, Muelly, Goodfellow, Hardt, Kim", 2018, "NeurIPS",
                  "https://arxiv.org/abs/1810.03292"),
      targets=(
          *(Target(metric=f"{method}_reinitialised", criterion=criterion, place="figures",
                   says=f"fresh weights: {says}") for method, (criterion, says) in expected.items()),
          *(Target(metric=f"{method}_random_labels", criterion=criterion, place="figures",
                   says=f"random labels: {says}") for method, (criterion, says) in expected.items()),
          Target(metric="memorised", criterion=at_least(0.999), says="the network on random labels has fitted them"),
          Target(metric="noise", criterion=between(-0.05, 0.05), says="a map of noise correlates with nothing"),
      ),
      seeds=(0, 1, 2))
