# SPDX-License-Identifier: Apache-2.0
"""Kills a recorder with SIGKILL at random moments and measures what its bags lack.

    python test/data/kill_recorder.py --moments 20
"""
from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import ros_domain  # noqa: E402

PATIENCE = 60.0  # s in which a recorder must have begun on a busy machine


class Loss(NamedTuple):
    """What one kill cost.

    :param seconds: from the first message that the bag lacks to the kill
    :param gaps: numbers missing in the middle of the bag
    :param count: messages of all topics in the bag
    """

    seconds: float
    gaps: int
    count: int


def environment() -> dict[str, str]:
    """A ROS domain of its own."""
    ros_domain.take()
    path = os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


@contextmanager
def talking(env: dict[str, str], log: Path) -> Iterator[None]:
    """Something to record: 100 numbers, 33 images and 33 messages of the suite a second."""
    process = subprocess.Popen([sys.executable, str(HERE / "talker.py"), str(log)], env=env)
    try:
        yield
    finally:
        process.kill()
        process.wait()


def kill_once(env: dict[str, str], log: Path, bag: Path, after: float) -> Loss:
    """Record into ``bag`` and kill the recorder ``after`` s after the first bytes are there."""
    from wm_ros.data.bag import is_finished, read, recover, topics_of

    process = subprocess.Popen(
        [sys.executable, "-m", "wm_ros.cli", "record", "--out", str(bag)], env=env,
        stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + PATIENCE
        while sum(f.stat().st_size for f in bag.glob("*.mcap")) < 20_000:
            assert time.monotonic() < deadline, "nothing was recorded"
            time.sleep(0.02)
        time.sleep(after)
    finally:
        killed = time.time()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not is_finished(bag)
    sent = [float(line) for line in log.read_text().splitlines()]
    kept = [int(r.message.data.split()[0]) for r in read(bag, {"/count"})]
    lacking = [moment for moment in sent[kept[-1] + 1:] if moment < killed]
    before = topics_of(bag)
    count = recover(bag)
    assert is_finished(bag) and topics_of(bag) == before, "completing the bag lost something"
    return Loss(killed - lacking[0] if lacking else 0.0,
                kept[-1] - kept[0] + 1 - len(kept), count)


def measure(folder: Path, moments: int, seed: int = 0) -> list[Loss]:
    """Several kills, each of a recorder of its own, at random moments of its recording."""
    rng, env = random.Random(seed), environment()
    with talking(env, folder / "sent.txt"):
        return [kill_once(env, folder / "sent.txt", folder / f"bag{i}", rng.uniform(0.0, 2.0))
                for i in range(moments)]


def main() -> int:
    """Print what was lost as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        losses = measure(Path(folder), args.moments, args.seed)
    ms = sorted(round(1e3 * loss.seconds) for loss in losses)
    print(json.dumps({"kills": len(losses), "lost_ms": ms, "worst_ms": ms[-1],
                      "gaps": sum(loss.gaps for loss in losses)}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
