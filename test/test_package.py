# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import wm_ros

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "wm_ros").rglob("*.py"))
PROGRAMS = [ROOT / "setup.py", *sorted((ROOT / "test").rglob("*.py")),
            *(f for f in sorted((ROOT / "scripts").iterdir())
              if f.is_file() and f.read_text().startswith("#!/usr/bin/env python3")
              and f.suffix != ".in")]
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()
ROS_MODULE = re.compile(r"^(rclpy|rcl_interfaces|launch\w*|ament_index_python|cv_bridge|tf2_\w+"
                        r"|\w+_msgs|\w+_interfaces|std_srvs)$")


def imported(file: Path) -> set[str]:
    """Top-level modules that a file imports."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


def declared(*tags: str) -> set[str]:
    return {element.text or "" for tag in tags for element in PACKAGE.iter(tag)}


def test_rosdep_installs_every_ros_package_that_the_code_imports():
    launch = sorted((ROOT / "launch").rglob("*.py"))
    needed = {name for file in SOURCES + launch for name in imported(file)
            if ROS_MODULE.match(name)}
    missing = needed - declared("depend", "exec_depend")
    assert not missing, f"package.xml lacks <exec_depend> for {sorted(missing)}"


# what a module of another name, or one that comes with another library, is installed as
INSTALLED_AS = {"PIL": "pillow", "cv2": "opencv-python-headless", "pinocchio": "pin",
                "skimage": "scikit-image", "websockets": "viser", "yaml": "PyYAML"}
LIBRARIES = {match.group(1).lower() for match in re.finditer(
    r"^([\w-]+)==", (ROOT / "requirements-libraries.txt").read_text(), re.MULTILINE)}


def test_pip_installs_every_library_that_the_code_imports_at_one_version():
    needed = {name for file in SOURCES for name in imported(file)
              if name not in sys.stdlib_module_names and not ROS_MODULE.match(name)}
    needed -= {"wm_ros", "moveit"}  # moveit_py comes with MoveIt
    missing = {name for name in needed if INSTALLED_AS.get(name, name).lower() not in LIBRARIES}
    assert not missing, f"requirements-libraries.txt lacks {sorted(missing)}"


def test_rosdep_takes_from_apt_what_pip_brings_in_the_version_that_is_used():
    keys = {key for key in declared("exec_depend") if key.startswith("python3-")}
    pip = {key for key in keys if key.endswith("-pip")}
    assert not pip, f"rosdep would install {sorted(pip)} by pip, in any version"
    names = {"opencv": "opencv-python-headless", "pil": "pillow", "skimage": "scikit-image",
             "yaml": "pyyaml"}
    short = {key.removeprefix("python3-") for key in keys}
    assert {names.get(name, name) for name in short} <= LIBRARIES


def test_rosdep_installs_every_message_package_that_ours_contain():
    text = "".join(file.read_text() for kind in ("msg", "srv", "action")
                   for file in (ROOT / kind).iterdir())
    used = set(re.findall(r"^(\w+)/\w+", text, re.MULTILINE)) - {"wm_ros"}
    assert used <= declared("depend")
    cmake = (ROOT / "CMakeLists.txt").read_text()
    for file in (f for kind in ("msg", "srv", "action") for f in (ROOT / kind).iterdir()):
        assert f"{file.parent.name}/{file.name}" in cmake, f"{file.name} is not built"


def test_package_xml_is_complete_for_a_release():
    assert PACKAGE.findtext("name") == "wm_ros"
    assert PACKAGE.findtext("license") == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert "rosidl_interface_packages" in declared("member_of_group")


def test_one_version_everywhere():
    setup = subprocess.run(["python3", "setup.py", "--version"], cwd=ROOT, text=True,
                           capture_output=True)
    assert PACKAGE.findtext("version") == wm_ros.__version__
    if setup.returncode == 0:  # a Python without setuptools cannot say
        assert setup.stdout.strip().splitlines()[-1] == wm_ros.__version__


def test_nothing_downloaded_or_recorded_can_run_code_when_it_is_read():
    """No pickle: a checkpoint or data set from a stranger is data and nothing else."""
    for file in SOURCES:
        text = file.read_text()
        assert not {"pickle", "dill", "joblib", "cloudpickle", "shelve"} & imported(file), file
        assert "torch.load(" not in text, f"{file}: weights are read from safetensors"
        assert not re.search(r"allow_pickle\s*=\s*True", text), file
        assert not re.search(r"yaml\.(load|unsafe_load|full_load)\(", text), file


def test_every_file_says_its_licence():
    for file in SOURCES + PROGRAMS:
        text = file.read_text()
        assert not text or "SPDX-License-Identifier: Apache-2.0" in text[:300], file


def test_a_notebook_can_use_the_model_and_the_motion_library_without_ros():
    for room in ("world_model", "motion", "sim", "data", "training", "evaluation"):
        for file in sorted((ROOT / "wm_ros" / room).rglob("*.py")):
            ros = {name for name in imported(file) if ROS_MODULE.match(name)}
            assert not ros, f"{file.relative_to(ROOT)} imports {sorted(ros)}"


def headings(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def test_every_link_in_the_documentation_leads_somewhere():
    pages = [ROOT / "README.md", *(file for folder in ("docs", "benchmarks", "checkpoints")
                                   for file in sorted((ROOT / folder).rglob("*.md")))]
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if ":" in link:
                continue
            path, _, anchor = link.partition("#")
            target = (page.parent / path).resolve() if path else page
            assert target.exists(), f"{page.relative_to(ROOT)} links to {link}"
            assert not anchor or anchor in headings(target), f"{page.relative_to(ROOT)}: {link}"


def test_the_readme_lists_every_page_of_the_documentation():
    text = (ROOT / "README.md").read_text()
    for page in sorted((ROOT / "docs").glob("*.md")):
        assert f"](docs/{page.name})" in text, page.name


def test_colcon_leaves_the_underlay_to_the_ros_installation():
    assert (ROOT / "underlay" / "COLCON_IGNORE").exists()
    for package in (ROOT / "underlay").glob("*/package.xml"):
        assert ElementTree.parse(package).getroot().findtext("name") == package.parent.name
