"""A Transformer trained on linear functions regresses in context, almost like least squares.

Garg, Tsipras, Liang, Valiant 2022, "What Can Transformers Learn In-Context? A Case Study of Simple Function Classes". Five
inputs and 3 layers of width 64 instead of twenty and 12 layers of 256, 30,000 steps instead of 500,000: the claim is tested.

  python launch.py --experiment=in_context_linear_regression

About 15 minutes on one idle CPU core. Expected: squared error over inputs below 0.05 after 10 examples (least squares: 0; we
measured 0.033). Begun with GPT-2's small weights instead of LeCun's it was 0.29.
"""

from research.paper import Paper, Target, at_most, exactly
from research.studies.in_context_linear_regression import InContextLinearRegression


def experiment() -> InContextLinearRegression:
  return InContextLinearRegression(
      paper=Paper("What Can Transformers Learn In-Context? A Case Study of Simple Function Classes",
                  "Garg, Tsipras, Liang, Valiant", 2022, "NeurIPS", "https://arxiv.org/abs/2208.01066"),
      targets=(
          Target(metric="error_10", criterion=at_most(0.05), place="re-implementation",
                 says="squared error over inputs after twice as many examples as inputs"),
          Target(metric="rises", criterion=exactly(0),
                 says="each further example helps: numbers of examples at which it does not"),
          Target(metric="below_least_squares", criterion=at_most(0.01),
                 says="never better than least squares, which is best here: largest advantage over it"),
          Target(metric="untrained_error", criterion=at_most(0.05), control=True, says="before training"),
      ),
      seeds=(0,))
