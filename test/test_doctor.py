# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import argparse
import json
import subprocess

import pytest

from wm_ros import doctor

TOPICS = {"ROS 2", "interfaces", "rendering", "MoveIt", "Gazebo", "processor", "GPU", "disk",
          "model"}


def run(capsys, **options) -> tuple[int, str]:
    status = doctor.run(argparse.Namespace(json=options.get("json", False)))
    return status, capsys.readouterr().out


def test_the_doctor_looks_at_everything_the_demo_needs(capsys):
    status, text = run(capsys, json=True)
    report = json.loads(text)
    assert {finding["name"] for finding in report["findings"]} >= TOPICS
    assert report["healthy"] == (status == 0)
    assert report["healthy"] == all(f["state"] != "missing" for f in report["findings"])


def test_whatever_is_missing_comes_with_what_to_do():
    for finding in doctor.examine():
        assert finding.state in ("ok", "note", "missing")
        assert finding.state != "missing" or finding.advice, finding


def test_this_machine_can_render_and_has_its_interfaces():
    assert doctor.check_gl().state == "ok"
    assert doctor.check_interfaces().state == "ok"
    assert doctor.check_ros().state == "ok"


def test_interfaces_that_are_not_built_are_named(monkeypatch):
    monkeypatch.setattr(doctor, "INTERFACES", ("wm_ros.msg", "gone_msgs.msg"))
    finding = doctor.check_interfaces()
    assert finding.state == "missing" and "gone_msgs" in finding.found


def test_libraries_that_are_not_installed_are_named(monkeypatch):
    assert doctor.check_libraries().state == "ok"
    monkeypatch.setattr(doctor, "LIBRARIES", ("numpy", "no_such_library"))
    finding = doctor.check_libraries()
    assert finding.found == "no no_such_library" and "requirements-libraries" in finding.advice


@pytest.mark.parametrize("failure", ["crash", "hang"])
def test_a_broken_gl_driver_is_a_finding_and_not_a_crash(monkeypatch, failure):
    def broken(*args, **kwargs):
        if failure == "hang":
            raise subprocess.TimeoutExpired("python", 60)
        return subprocess.CompletedProcess(args, -11, "", "libEGL warning: failed\n")
    monkeypatch.setattr(doctor.subprocess, "run", broken)
    finding = doctor.check_gl()
    assert finding.state == "missing" and "libegl1" in finding.advice


def test_one_check_that_fails_does_not_stop_the_others(monkeypatch, capsys):
    def check_broken():
        raise RuntimeError("no such sensor")
    monkeypatch.setattr(doctor, "CHECKS", (check_broken, doctor.check_cpu))
    status, text = run(capsys)
    assert status == 1 and "no such sensor" in text and "cores" in text


def test_a_container_with_little_shared_memory_is_told_why_images_get_lost(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage",
                        lambda path: argparse.Namespace(free=64 * 2**20))
    finding = doctor.check_shared_memory()
    assert finding.state == "missing" and "--shm-size" in finding.advice
