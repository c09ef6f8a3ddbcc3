"""Data flows down the list of modules and imports point up it, never back."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent

# Each may import what stands before it, and itself.
ORDER = [
    "config_values", "config", "rules", "figures", "paper", "preprocessing", "augmentation", "data", "nn", "models",
    "pretrained", "metrics", "decoding", "tasks", "optimizers", "flops", "training", "evaluation", "interpretation",
    "planning", "application", "studies",
    "report", "records", "workdir", "features", "results", "fit", "trained",
    "experiment", "assessment", "learning_curve", "command_line", "modes",
    "runner",
    "experiments", "launch",
]


def _layer(module: str) -> str | None:
  """The layer of a module of ours, or None for others."""
  parts = module.split(".")
  if parts[0] == "research" and len(parts) > 1:
    return parts[1]
  return parts[0] if parts[0] in ("experiments", "launch") else None


def _imports(path: pathlib.Path):
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path}: relative import"
      if node.module == "research":
        yield from (f"research.{alias.name}" for alias in node.names)
      else:
        yield node.module


FILES = sorted([*ROOT.glob("research/**/*.py"), *ROOT.glob("experiments/*.py"), ROOT / "launch.py"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_up(path):
  mine = _layer(".".join(path.relative_to(ROOT).with_suffix("").parts))
  for module in _imports(path):
    theirs = _layer(module)
    if theirs is None or mine is None:
      continue
    if mine == "process":
      raise AssertionError(f"process imports {module}; it must need the standard library only")
    if theirs != "process":
      assert ORDER.index(theirs) <= ORDER.index(mine), f"{mine} imports {theirs}"


def test_every_module_imports_without_tensorflow_and_torch():
  modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in FILES if p.name != "__init__.py"]
  code = f"""
import importlib, sys
class Refuse:
  def find_spec(self, name, path=None, target=None):
    if name.split(".")[0] in ("tensorflow", "torch"):
      raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Refuse())
for module in {modules!r}:
  importlib.import_module(module)
"""
  subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
