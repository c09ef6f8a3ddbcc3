"""What launchers are given is what they read: fields, types, hosts and chips; every value is quoted where it must be."""

import shlex
import subprocess

import pytest
import yaml

from research.application import launchers
from research.application.launchers import LAUNCHERS, Launch
from research.config import ConfigError

# Fields that a launcher knows, with their types; a list holds what its elements are. Of the published schemas of JobSet
# v1alpha2, SkyPilot 0.14 and KServe v1beta1, what is used here.
CONTAINER = {"name": str, "image": str, "command": [str], "args": [str], "env": [{"name": str, "value": str}],
             "ports": [{"containerPort": int, "protocol": str}], "resources": {"limits": dict, "requests": dict},
             **{f"{kind}Probe": {"httpGet": {"path": str, "port": int}, "failureThreshold": int, "periodSeconds": int}
                for kind in ("liveness", "readiness", "startup")}}
POD = {"restartPolicy": str, "terminationGracePeriodSeconds": int, "nodeSelector": dict, "containers": [CONTAINER]}
SCHEMAS = {
    "jobset": {"apiVersion": str, "kind": str, "metadata": {"name": str, "annotations": dict}, "spec": {
        "failurePolicy": {"maxRestarts": int}, "replicatedJobs": [{"name": str, "replicas": int, "template": {"spec": {
            "parallelism": int, "completions": int, "backoffLimit": int, "template": {"spec": POD}}}}]}},
    "kserve": {"apiVersion": str, "kind": str, "metadata": {"name": str},
               "spec": {"predictor": {"minReplicas": int, "maxReplicas": int, **POD}}},
    "skypilot": {"name": str, "workdir": str, "num_nodes": int, "setup": str, "run": str,
                 "resources": {"accelerators": str, "accelerator_args": {"runtime_version": str}, "use_spot": bool}},
}
AWKWARD = Launch(workdir="gs://a/it's \"here\": $HOME", flags=("--data.name=a b; rm -rf /",), image='registry/"x":1')


def agrees(value, schema, where="") -> None:
  if isinstance(schema, dict):
    assert isinstance(value, dict), where
    for key, inner in value.items():
      assert key in schema, f"{where}.{key} is unknown"
      agrees(inner, schema[key], f"{where}.{key}")
  elif isinstance(schema, list):
    assert isinstance(value, list) and value, where
    for inner in value:
      agrees(inner, schema[0], f"{where}[]")
  else:
    assert type(value) is schema, f"{where} is {value!r}"


@pytest.mark.parametrize("launch", [Launch(), AWKWARD, Launch(spot=False, accelerator="v5p-64")],
                         ids=["usual", "awkward", "v5p"])
@pytest.mark.parametrize("name", SCHEMAS)
def test_yaml_has_the_fields_that_its_launcher_knows(name, launch):
  agrees(yaml.safe_load(LAUNCHERS[name](launch)), SCHEMAS[name])


@pytest.mark.parametrize("accelerator,topology,hosts,label", [
    ("v6e-16", "4x4", 4, "tpu-v6e-slice"), ("v5litepod-256", "16x16", 64, "tpu-v5-lite-podslice"),
    ("v5p-32", "2x2x4", 4, "tpu-v5p-slice"), ("v4-8", "2x2x1", 1, "tpu-v4-podslice")])
def test_a_jobset_has_a_pod_for_each_host_of_the_slice(accelerator, topology, hosts, label):
  spec = yaml.safe_load(launchers.jobset(Launch(accelerator=accelerator)))["spec"]["replicatedJobs"][0]["template"]["spec"]
  pod = spec["template"]["spec"]
  assert spec["parallelism"] == spec["completions"] == hosts
  assert pod["nodeSelector"]["cloud.google.com/gke-tpu-topology"] == topology
  assert pod["nodeSelector"]["cloud.google.com/gke-tpu-accelerator"] == label
  assert pod["containers"][0]["resources"]["limits"]["google.com/tpu"] == 4


@pytest.mark.parametrize("name", ["queued_resources", "sbatch"])
def test_scripts_are_shell(name):
  subprocess.run(["bash", "-n"], input=LAUNCHERS[name](AWKWARD), text=True, check=True)


def test_a_command_reaches_the_program_word_for_word():
  words = ["python", "launch.py", "--experiment=quickstart", f"--workdir={AWKWARD.workdir}", *AWKWARD.flags]
  assert shlex.split(AWKWARD.command) == words
  line = next(line for line in launchers.sbatch(AWKWARD).splitlines() if line.startswith("srun"))
  assert shlex.split(line)[2:] == words
  assert shlex.split(yaml.safe_load(launchers.skypilot(AWKWARD))["run"]) == words
  pod = yaml.safe_load(launchers.jobset(AWKWARD))["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
  assert shlex.split(pod["containers"][0]["command"][2])[1:] == words
  script = launchers.queued_resources(AWKWARD)
  quoted = script[script.index("--command=") + len("--command="):script.index("\ngcloud compute tpus queued-resources delete")]
  assert shlex.split(shlex.split(quoted)[0].partition("&& python")[2])[1:] == words[2:]


@pytest.mark.parametrize("wrong", [{"name": "No Name"}, {"flags": ("steps=1",)}, {"nodes": 0}, {"zone": "here"},
                                   {"workdir": "a\nb"}])
def test_what_cannot_be_is_refused(wrong):
  with pytest.raises(ConfigError):
    Launch(**wrong)


@pytest.mark.parametrize("accelerator", ["v6e-17", "v5p-33", "H100", "v9-8"])
def test_a_slice_that_does_not_exist_is_refused(accelerator):
  with pytest.raises(ConfigError, match="accelerator="):
    launchers.jobset(Launch(accelerator=accelerator))


def test_the_command_prints_and_says_what_there_is(capsys):
  assert launchers.main(["sbatch", "--nodes=3", "--flags=--seeds=0"]) == 0
  assert "#SBATCH --nodes=3" in capsys.readouterr().out
  with pytest.raises(ConfigError, match='Did you mean "jobset"'):
    launchers.main(["jobst"])
