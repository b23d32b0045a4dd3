# SPDX-License-Identifier: Apache-2.0
"""``wm instruct``: give the running nodes an instruction as soon as they can take one."""
from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from wm_ros.errors import UserError

if TYPE_CHECKING:
    from wm_ros.nodes.demo_client import DemoClient

HELP = "Wait until the running nodes are ready, have an instruction done, and say how it ended."
NODES = ("perception", "imagination", "planning", "monitor")
GONE = 10.0  # s without the planning node after which nobody waits for its answer
TRULY_DONE = 8.0  # s after which a task that the simulator finds done ends an undecided run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("instruction", help="what to do, in plain words")
    parser.add_argument("--time-limit", type=float, default=0.0, help="seconds for doing it "
                        "(default 0: the planning node's time_limit, 60)")
    parser.add_argument("--wait", type=float, default=120.0,
                        help="seconds in which the nodes must become ready")
    parser.add_argument("--nodes", nargs="*", default=list(NODES), metavar="NODE",
                        help=f"nodes that must be active (default: {' '.join(NODES)})")
    parser.add_argument("--candidates", type=int, default=0,
                        help="chunks to choose from each time; 0: the planning node's "
                        "n_candidates, which is one (default: 0)")
    parser.add_argument("--dry-run", action="store_true", help="plan and imagine, never move")


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the instruction was done."""
    from wm_ros.nodes import demo_client
    from wm_ros.robot import load_robot
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not args.instruction.strip():
        raise UserError("The instruction is empty; say what to do.")
    if not (args.time_limit >= 0 and args.wait > 0 and args.candidates >= 0):
        raise UserError("--wait must be more than 0 seconds, --time-limit and --candidates at "
                        "least 0.")
    demo_client.init()
    client = None
    try:
        client = demo_client.DemoClient(load_robot())
        wait_ready(client, args.nodes, args.wait)
        say(f'All nodes are ready; now "{args.instruction}".')
        judge = judge_of(client, args.instruction, args.dry_run)
        judge()  # as it is before
        return follow(client, client.instruct(args.instruction, args.time_limit, args.candidates,
                                              args.dry_run), judge)
    finally:
        if client is not None:
            client.close()
            client.destroy_node()
        demo_client.shutdown()


def wait_ready(client: DemoClient, names: list[str], seconds: float) -> None:
    """Return when all nodes are active, the model is loaded and the arm is free to move.

    :raises UserError: when that takes too long, or a node cannot start
    """
    limit, told = time.monotonic() + seconds, time.monotonic()
    while True:
        if failed := client.failed(names):
            raise UserError(f"The {' and the '.join(failed)} node cannot start: it says why in "
                            "its messages.")
        missing = client.missing(names)
        if not missing and client.model.ready and not client.stopped:
            return
        what = (f"the nodes {', '.join(missing)} to become active" if missing else
                "the arm to be free (`wm resume`)" if client.stopped else "the model to load")
        if time.monotonic() > limit:
            raise UserError(f"Waited {seconds:.0f} s in vain for {what}; see the nodes' messages.")
        if time.monotonic() - told > 10.0:
            told = time.monotonic()
            say(f"Waiting for {what}.")
        time.sleep(0.1)


def follow(client: DemoClient, goal: Any, judge: Callable[[], bool | None]) -> int:
    """Say what happens until it has ended; 0 when it was done.

    :param judge: see :func:`judge_of`
    :raises UserError: when the planning node is gone, and its answer with it
    """
    stage, looked, done_since = "", 0.0, None
    check = planner_check(client)
    try:
        while not goal.done:
            if client.feedback.stage != stage:
                stage = client.feedback.stage
                say(f"{stage}.")
            check()
            now = time.monotonic()
            if now - looked > 0.5:
                looked = now
                done_since = (done_since or now) if judge() else None
            if done_since is not None and now - done_since > TRULY_DONE:
                goal.cancel()
                done_since = now
            time.sleep(0.05)
    except KeyboardInterrupt:
        goal.cancel()
        time.sleep(0.5)
        raise
    _status, answer = goal.result(client.stop_flag, 10.0, "The planning node did not end.")
    truth = judge()
    success = bool(answer.success) if truth is None else truth
    say(f"{'Done' if success else 'Not done'} after {answer.duration:.1f} s, "
        f"{answer.chunks_executed} chunks: {answer.message}"
        + ("" if truth is None else f" The simulator finds the task {'' if truth else 'not '}done."
           ))
    return 0 if success else 1


def planner_check(client: DemoClient) -> Callable[[], None]:
    """A look, to be repeated, at whether the planning node can still answer what it was just told.

    :returns: raises UserError when that node is gone, and its answer with it
    """
    planner, there = client.process("planning"), time.monotonic()

    def check() -> None:
        nonlocal there
        now = time.monotonic()
        there = there if client.missing(["planning"]) else now
        if now - there > GONE or client.process("planning") != planner:
            raise UserError("The planning node is gone, and what it did with the instruction "
                            "is not known; look at the arm, then give it again.")
    return check


def judge_of(client: DemoClient, instruction: str, dry_run: bool) -> Callable[[], bool | None]:
    """A look, to be repeated, at what the simulator knows of the instruction.

    It judges only the task that the room is laid out for. Of a task's variants (which button) it
    is the held-out layouts' that the words are compared with, as in `wm demo`.

    :returns: whether the task is done; None where nobody can judge: without a simulator, for other
        words than its task's, for what was done before the first look, and for a plan alone
    """
    from wm_ros.sim.judging import task_for
    meant, first = cache(partial(task_for, instruction)), None

    def look() -> bool | None:
        nonlocal first
        truth = None if dry_run else client.known_truth()
        first = first or truth
        if truth is None or first is None or first.success or not truth.task:
            return None
        layout = (truth.task, int(truth.seed))
        return bool(truth.success) if meant(truth.room, layout[1]) == layout else None
    return look


def say(text: str) -> None:
    """One line for the user."""
    print(text, file=sys.stderr, flush=True)
