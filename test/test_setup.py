# SPDX-License-Identifier: Apache-2.0
"""`make` and scripts/bootstrap: wherever the checkout lies, and however they were stopped."""
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]


def bootstrap(monkeypatch: pytest.MonkeyPatch, venv: Path) -> ModuleType:
    monkeypatch.setenv("WM_VENV", str(venv))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader = SourceFileLoader("bootstrap", str(ROOT / "scripts" / "bootstrap"))
    module = module_from_spec(spec_from_loader("bootstrap", loader))
    loader.exec_module(module)
    return module


def test_an_environment_whose_making_was_stopped_is_made_whole(tmp_path, monkeypatch):
    venv = tmp_path / "my venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    [site] = venv.glob("lib/python3.*/site-packages")
    for half, name in (("pip", "__init__.py"), ("pip-1.0.dist-info", "METADATA")):
        (site / half).mkdir()
        (site / half / name).touch()
    made = bootstrap(monkeypatch, venv)
    made.make_venv()
    assert subprocess.run([venv / "bin" / "python", "-m", "pip", "--version"]).returncode == 0
    before = made.PYTHON.lstat().st_mtime_ns
    made.make_venv()
    assert made.PYTHON.lstat().st_mtime_ns == before, "a whole one is left alone"
    made.write_environment_files()  # a shell can source them
    told = subprocess.run(["sh", "-c", '. "$0/local_setup.sh" && echo "$AMENT_PREFIX_PATH"', venv],
                          capture_output=True, text=True, check=True)
    assert told.stdout == f"{venv}\n"


def test_a_checkout_without_weights_is_still_set_up(tmp_path, monkeypatch):
    made = bootstrap(monkeypatch, tmp_path / "venv")
    known = made.plan(dev=False)
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != "model.safetensors"
                        and exists(path))
    opened = Path.read_bytes

    def missing(path: Path) -> bytes:
        if path.name == "model.safetensors":
            raise FileNotFoundError(path)
        return opened(path)

    monkeypatch.setattr(Path, "read_bytes", missing)
    now = made.plan(dev=False)
    assert now["network"] != known["network"] and now["ros"] == known["ros"]


def test_what_the_disk_refuses_is_said_in_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    done = subprocess.run([sys.executable, ROOT / "scripts" / "bootstrap"], text=True,
                          capture_output=True, env={**os.environ,
                                                    "WM_VENV": str(tmp_path / "file" / "venv")})
    assert done.returncode == 2 and done.stderr == ""
    assert "cannot be used" in done.stdout and len(done.stdout.splitlines()) == 1


def test_make_works_in_a_folder_with_a_space(tmp_path):
    checkout = tmp_path / "my checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", checkout)
    (checkout / "scripts" / "bootstrap").write_text("")
    for name in ("wm", "python"):
        program = checkout / ".venv" / "bin" / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        program.chmod(0o755)
    env = {key: value for key, value in os.environ.items() if key != "WM_VENV"}
    for target, said in (("bench", "wm bench"), ("docs", "python -m wm_ros.write_api")):
        done = subprocess.run(["make", target], cwd=checkout, env=env, text=True,
                              capture_output=True)
        assert done.returncode == 0 and said in done.stdout, done.stderr
