# SPDX-License-Identifier: Apache-2.0
"""``wm reset``: lay out the simulated room of the running nodes anew."""
from __future__ import annotations

import argparse
import sys

from wm_ros.errors import UserError
from wm_ros.nodes.node_list import SEED
from wm_ros.stop import ask, told

HELP = "Lay out the simulated room of the running nodes anew, for a task."
DESCRIPTION = """\
Asks the simulator to put the room, and the arm in it, into the state of a task and a seed; what
the arm is doing ends. The same task and seed give the same room. `wm sim` lists the tasks.

  wm reset put_mug_on_tray --seed 7          # the service /wm/reset_simulation
  wm instruct "put the mug on the tray"

Exit status: 0 when the room is laid out, 1 when the simulator cannot (it says why), 2 for a task
that there is not, or when nobody simulates.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION
    parser.add_argument("task", metavar="TASK", help="name of the task; `wm sim` lists them")
    parser.add_argument("--seed", type=int, default=SEED,
                        help="of layout, variant, colours, light and camera poses")
    parser.add_argument("--held-out", action=argparse.BooleanOptionalAction, default=True,
                        help="a layout that training never saw")


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when the room is laid out."""
    from wm_ros.sim.tasks import task_class
    from wm_ros.srv import ResetSimulation
    if not 0 <= args.seed < 2**31:
        raise UserError("--seed must be at least 0, and less than 2147483648.")
    task = task_class(args.task)
    answer = ask(ResetSimulation, "/wm/reset_simulation", ResetSimulation.Request(
        room=task.room, task=task.name, seed=args.seed, held_out=args.held_out), 60.0)
    if not answer.success:
        return told(answer)
    print(f"The {task.room} is laid out with seed {args.seed}.", file=sys.stderr)
    print(answer.instruction)
    return 0
