"""Text for launchers that exist: training on TPU pods, clouds, Kubernetes and Slurm; serving in a container and by KServe.

    python -m research.application.launchers sbatch --experiment=imagenet_vit_s16 --workdir=/shared/run1 --nodes=4
    python -m research.application.launchers jobset --experiment=... --workdir=gs://bucket/run1 --accelerator=v6e-16 --image=...

It prints; nothing is started. Every process runs the same launch.py, which finds the others by itself on TPU hosts and under
Slurm. A run that is ended goes on from its last checkpoint when it is started again, so that each asks its launcher for that.
"""

import dataclasses
import json
import re
import shlex
import sys
from collections.abc import Callable, Sequence

from research.config import ConfigError, UserError, did_you_mean, from_words

# Generation of TPU: its name on GKE, chips of a host, cores that its name counts for a chip, machine type, software of a VM.
_TPUS = {
    "v4": ("tpu-v4-podslice", 4, 2, "ct4p-hightpu-4t", "tpu-ubuntu2204-base"),
    "v5litepod": ("tpu-v5-lite-podslice", 4, 1, "ct5lp-hightpu-4t", "v2-alpha-tpuv5-lite"),
    "v5p": ("tpu-v5p-slice", 4, 2, "ct5p-hightpu-4t", "v2-alpha-tpuv5"),
    "v6e": ("tpu-v6e-slice", 4, 1, "ct6e-standard-4t", "v2-alpha-tpuv6e"),
}
# How chips are wired: flat generations, and those with a third dimension.
_FLAT = {4: "2x2", 8: "2x4", 16: "4x4", 32: "4x8", 64: "8x8", 128: "8x16", 256: "16x16"}
_DEEP = {4: "2x2x1", 8: "2x2x2", 16: "2x2x4", 32: "2x4x4", 64: "4x4x4", 128: "4x4x8", 256: "4x8x8", 512: "8x8x8"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Launch:
  """What is run, and where.

  Attributes:
    experiment: a name in experiments/.
    workdir: the run's folder, which all machines see: gs://... or a shared disk.
    data_dir: the folder of datasets, likewise; None where the experiment needs none.
    flags: more of launch.py, as --training.steps=1000, separated by commas.
    name: of the job.
    accelerator: a TPU slice, as v6e-16 or v5p-32; for skypilot also a GPU and how many a node, as H100:8.
    zone: of Google Cloud.
    image: of the container.
    nodes: machines, of Slurm or GPUs.
    gpus: of a node under Slurm.
    hours: that Slurm gives it.
    spot: whether it may be taken away, for less.
    bundle: for kserve, where the exported folder is: gs://, s3:// or pvc://.
  """

  experiment: str = "quickstart"
  workdir: str = "gs://bucket/runs/quickstart"
  data_dir: str | None = None
  flags: tuple[str, ...] = ()
  name: str = "fieldwork"
  accelerator: str = "v6e-16"
  zone: str = "us-east5-b"
  image: str = "registry.example/fieldwork:latest"
  nodes: int = 2
  gpus: int = 8
  hours: int = 24
  spot: bool = True
  bundle: str = "gs://bucket/export"

  def __post_init__(self):
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?", self.name):
      raise ConfigError(f"name={self.name!r}: must be lower-case letters, digits and hyphens, as Kubernetes has names")
    for flag in self.flags:
      if not flag.startswith("--"):
        raise ConfigError(f"flags={flag!r}: must begin with --")
    for field in ("nodes", "gpus", "hours"):
      if getattr(self, field) < 1:
        raise ConfigError(f"{field}={getattr(self, field)}: must be at least 1")
    if not re.fullmatch(r"[a-z]+-[a-z]+\d+-[a-z]", self.zone):
      raise ConfigError(f"zone={self.zone!r}: must be a zone of Google Cloud, as us-east5-b")
    if any("\n" in str(value) or "\0" in str(value) for value in vars(self).values()):
      raise ConfigError("settings are single lines")

  @property
  def command(self) -> str:
    """One process of the run, quoted for a shell."""
    words = ["python", "launch.py", f"--experiment={self.experiment}", f"--workdir={self.workdir}"]
    return shlex.join([*words, *([f"--data_dir={self.data_dir}"] if self.data_dir else []), *self.flags])

  def slice(self) -> "Slice":
    """The TPU slice that is meant. Raises ConfigError if there is none such."""
    generation, _, size = self.accelerator.partition("-")
    kinds = " or ".join(f"{g}-N" for g in _TPUS)
    if generation not in _TPUS or not size.isdecimal():
      raise ConfigError(f"accelerator={self.accelerator}: must be {kinds}")
    label, chips_of_host, cores, machine, software = _TPUS[generation]
    chips, wiring = int(size) // cores, _DEEP if cores == 2 else _FLAT
    if chips not in wiring or int(size) % cores:
      sizes = ", ".join(str(chips * cores) for chips in wiring)
      raise ConfigError(f"accelerator={self.accelerator}: {generation} has slices of {sizes}")
    return Slice(label, wiring[chips], chips // chips_of_host, chips_of_host, machine, software)


@dataclasses.dataclass(frozen=True)
class Slice:
  """A TPU slice: its label and topology on GKE, hosts, chips of each, machine type, software of a VM."""

  label: str
  topology: str
  hosts: int
  chips: int
  machine: str
  software: str


_quoted = json.dumps  # a JSON string is a YAML string


def queued_resources(launch: Launch) -> str:
  """Shell: asks for a slice of TPU VMs, and runs the command on all of its hosts once they are there."""
  part, name = launch.slice(), launch.name
  where = f"--zone={launch.zone}"
  return f"""#!/usr/bin/env bash
# {launch.accelerator}: {part.hosts} hosts of {part.chips} chips. The same commands again go on from the last checkpoint.
set -euo pipefail
gcloud compute tpus queued-resources create {name} --node-id={name} {where} \\
  --accelerator-type={launch.accelerator} --runtime-version={part.software}{' --spot' if launch.spot else ''}
until gcloud compute tpus queued-resources describe {name} {where} --format='value(state.state)' | grep -q ACTIVE; do
  sleep 30
done
gcloud compute tpus tpu-vm scp --recurse . {name}:fieldwork {where} --worker=all
gcloud compute tpus tpu-vm ssh {name} {where} --worker=all \\
  --command={shlex.quote(f"cd fieldwork && pip install --quiet '.[tpu,gcs]' && {launch.command}")}
gcloud compute tpus queued-resources delete {name} {where} --force --quiet
"""


def skypilot(launch: Launch) -> str:
  """YAML of a SkyPilot task, for `sky jobs launch`: it is started again elsewhere when a machine is taken away."""
  is_gpu = ":" in launch.accelerator
  if is_gpu and not re.fullmatch(r"[A-Za-z0-9-]+:\d+", launch.accelerator):
    raise ConfigError(f"accelerator={launch.accelerator!r}: must be as H100:8")
  kind = launch.accelerator if is_gpu else f"tpu-{launch.accelerator}"
  software = "" if is_gpu else f"\n  accelerator_args:\n    runtime_version: {launch.slice().software}"
  join = (' --coordinator="$(echo "$SKYPILOT_NODE_IPS" | head -n1):8476" --num_processes="$SKYPILOT_NUM_NODES"'
          ' --process_id="$SKYPILOT_NODE_RANK"') if is_gpu and launch.nodes > 1 else ""
  return f"""name: {launch.name}
workdir: .
num_nodes: {launch.nodes if is_gpu else 1}
resources:
  accelerators: {kind}{software}
  use_spot: {str(launch.spot).lower()}
setup: pip install --quiet '.[{'cuda' if is_gpu else 'tpu'},gcs]'
run: {_quoted(launch.command + join)}
"""


def jobset(launch: Launch) -> str:
  """YAML of a JobSet, for `kubectl apply`: one pod on each host of a TPU slice, all started again when one fails."""
  part = launch.slice()
  spot = '\n              cloud.google.com/gke-spot: "true"' if launch.spot else ""
  return f"""apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: {launch.name}
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: 10
  replicatedJobs:
  - name: hosts
    replicas: 1
    template:
      spec:
        parallelism: {part.hosts}
        completions: {part.hosts}
        backoffLimit: 0
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 120
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: {part.label}
              cloud.google.com/gke-tpu-topology: {part.topology}{spot}
            containers:
            - name: train
              image: {_quoted(launch.image)}
              command: ["bash", "-c", {_quoted(f"exec {launch.command}")}]
              resources:
                limits:
                  google.com/tpu: {part.chips}
"""


def sbatch(launch: Launch) -> str:
  """Shell for `sbatch`: a process a GPU; told two minutes before its time is over, it saves and is queued again."""
  return f"""#!/usr/bin/env bash
#SBATCH --job-name={launch.name}
#SBATCH --nodes={launch.nodes}
#SBATCH --ntasks-per-node={launch.gpus}
#SBATCH --gpus-per-node={launch.gpus}
#SBATCH --time={launch.hours}:00:00
#SBATCH --signal=TERM@120
#SBATCH --requeue
#SBATCH --output={launch.name}-%j.log
set -uo pipefail
srun --kill-on-bad-exit=1 {launch.command}
code=$?
if [ "$code" -eq 143 ]; then  # ended by the signal, saved
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


def containerfile(launch: Launch) -> str:
  """A container file for serving: the server; the bundle is mounted at /bundle."""
  del launch
  return """FROM python:3.11-slim
RUN useradd --create-home --uid 10001 server
WORKDIR /fieldwork
COPY pyproject.toml README.md LICENSE launch.py ./
COPY research research
COPY experiments experiments
RUN pip install --no-cache-dir '.[serve]'
USER server
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["python", "-m", "research.application.server", "--host=0.0.0.0", "--port=8080"]
CMD ["--bundles=/bundle"]
"""


def kserve(launch: Launch) -> str:
  """YAML of a KServe InferenceService over that container; KServe fetches the bundle, and asks the Open Inference Protocol."""
  if not re.match(r"(gs|s3|pvc|hdfs|https)://", launch.bundle):
    raise ConfigError(f"bundle={launch.bundle!r}: must be gs://, s3://, pvc://, hdfs:// or https://")
  return f"""apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {launch.name}
spec:
  predictor:
    minReplicas: 1
    maxReplicas: 4
    containers:
    - name: kserve-container
      image: {_quoted(launch.image)}
      args: ["--bundles=/mnt/models"]
      env:
      - name: STORAGE_URI
        value: {_quoted(launch.bundle)}
      - name: PROTOCOL
        value: v2
      ports:
      - containerPort: 8080
        protocol: TCP
      livenessProbe:
        httpGet:
          path: /v2/health/live
          port: 8080
      readinessProbe:
        httpGet:
          path: /v2/health/ready
          port: 8080
      startupProbe:
        httpGet:
          path: /v2/health/live
          port: 8080
        failureThreshold: 60
        periodSeconds: 5
      resources:
        requests:
          cpu: "2"
          memory: 4Gi
    terminationGracePeriodSeconds: 60
"""


LAUNCHERS: dict[str, Callable[[Launch], str]] = {
    "queued_resources": queued_resources, "skypilot": skypilot, "jobset": jobset, "sbatch": sbatch,
    "containerfile": containerfile, "kserve": kserve}


def main(words: Sequence[str]) -> int:
  """Prints a launcher's text. Returns the exit code."""
  if not words or words[0] not in LAUNCHERS:
    given = f"{words[0]!r} is none of the launchers{did_you_mean(words[0], LAUNCHERS)}; " if words else ""
    raise ConfigError(f"{given}give one of {', '.join(LAUNCHERS)}, and settings as --name=value")
  print(LAUNCHERS[words[0]](from_words(Launch(), words[1:])), end="")
  return 0


if __name__ == "__main__":
  try:
    sys.exit(main(sys.argv[1:]))
  except UserError as error:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)
