"""Rajbhandari, Rasley, Ruwase, He 2020, ZeRO: what each data-parallel device must hold of model and optimizer.

  python launch.py --experiment=zero_state_sharding

Seconds on one CPU core, 8 simulated devices. Expected: 120, 31.4, 16.6 and 1.9 GB by the formula; 12, 5 and 1.5 MiB
measured for 2^20 parameters of float32 Adam; equal updates.
"""

from research.paper import Paper, Target, at_most, exactly, within
from research.studies.zero_state_sharding import ZeroStateSharding

PROCESS = {"devices": 8, "platform": "cpu"}


def _published(metric: str, gigabytes: float, says: str) -> Target:
  return Target(metric=metric, criterion=within(gigabytes, 0.05), published=gigabytes, kind="number",
                place="memory figure, as two public transcriptions give it", says=says)


def experiment() -> ZeroStateSharding:
  return ZeroStateSharding(
      paper=Paper("ZeRO: Memory Optimizations Toward Training Trillion Parameter Models",
                  "Rajbhandari, Rasley, Ruwase, He", 2020, "SC", "https://arxiv.org/abs/1910.02054"),
      targets=(
          _published("published_baseline", 120, "16Ψ bytes for 7.5e9 parameters, in GB"),
          _published("published_optimizer", 31.4, "4Ψ + 12Ψ/N on 64 devices: optimizer state split"),
          _published("published_gradients", 16.6, "2Ψ + 14Ψ/N: gradients too"),
          _published("published_parameters", 1.9, "16Ψ/N: parameters too"),
          Target(metric="replicated_mib", criterion=exactly(12), says="float32 Adam, 2^20 parameters: 12Ψ"),
          Target(metric="moments_mib", criterion=exactly(5), says="moments split over 8 devices: 4Ψ + 8Ψ/8"),
          Target(metric="all_mib", criterion=exactly(1.5), says="parameters too: 12Ψ/8"),
          Target(metric="update_difference", criterion=at_most(1e-6), says="the update is that of one device"),
          Target(metric="moments_mib", criterion=exactly(1.5), control=True,
                 says="splitting the optimizer alone is not an equal share of everything"),
      ),
      seeds=(0,))
