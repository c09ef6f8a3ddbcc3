"""Double descent in closed form: the risk of ridgeless regression.

Hastie, Montanari, Rosset, Tibshirani 2022, "Surprises in High-Dimensional Ridgeless Least Squares Interpolation".

  python launch.py --experiment=ridgeless_risk

Seconds a seed on two CPU cores. Expected: the measured risk over its limit within 10 % at every ratio of features to
examples, 20 % next to 1, where 200 examples are still far from the limit.
"""

from research.paper import Paper, Target, within
from research.studies.ridgeless_risk import RidgelessRisk

PROCESS = {"x64": True}
GAMMAS = (0.1, 0.2, 0.5, 0.8, 0.9, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)


def experiment() -> RidgelessRisk:
  place = "formula for isotropic features, as in public notes"
  return RidgelessRisk(
      paper=Paper("Surprises in High-Dimensional Ridgeless Least Squares Interpolation",
                  "Hastie, Montanari, Rosset, Tibshirani", 2022, "Annals of Statistics", "https://arxiv.org/abs/1903.08560"),
      targets=(
          *(Target(metric=f"ratio_{gamma:g}", criterion=within(1, 0.2 if 0.9 <= gamma <= 1.1 else 0.1), place=place,
                   says=f"risk → {'σ²γ/(1−γ)' if gamma < 1 else 'r²(1−1/γ) + σ²/(γ−1)'}: measured over it, γ = {gamma:g}")
            for gamma in GAMMAS),
          Target(metric="classical_ratio_2", criterion=within(1, 0.1), control=True,
                 says="the classical σ²γ/(1−γ) continued to γ = 2"),
          Target(metric="variance_only_ratio_2", criterion=within(1, 0.1), control=True,
                 says="the variance σ²/(γ−1) alone at γ = 2, without the bias"),
      ),
      gammas=GAMMAS, seeds=(0, 1, 2))
