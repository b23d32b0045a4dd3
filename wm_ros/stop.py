# SPDX-License-Identifier: Apache-2.0
"""``wm stop``: stop the arm of the running nodes at once."""
from __future__ import annotations

import argparse
import sys
import time
from typing import Any

from wm_ros.errors import UserError

HELP = "Stop the arm of the running nodes at once; `wm resume` lets it move again."
DESCRIPTION = """\
Asks the monitor node to stop the arm: what it is driving ends, and no instruction moves it until
`wm resume`. This is no emergency stop; a robot needs one of its own beside it.

  wm stop                                    # the service /wm/stop

Exit status: 0 when the arm is stopped, 1 when it was refused, 2 when nobody serves /wm/stop.
"""
TRIES = 4  # the answer of a node that has just been started can be lost


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = DESCRIPTION


def run(_args: argparse.Namespace) -> int:
    """Run the command; 0 when the arm is stopped."""
    return press("/wm/stop")


def press(name: str) -> int:
    """Ask a service that takes no arguments, and print its sentence; 0 when it did it."""
    from std_srvs.srv import Trigger
    return told(ask(Trigger, name, Trigger.Request(), 8.0))


def told(answer: Any) -> int:
    """Print an answer's sentence; 0 when it says success."""
    print(answer.message, file=sys.stderr, flush=True)
    return 0 if answer.success else 1


def ask(kind: Any, name: str, request: Any, seconds: float) -> Any:
    """The answer of a service of the running nodes.

    :param kind: type of the service
    :param request: what may be asked twice without harm
    :raises UserError: when nobody serves it, or no answer comes in so many seconds
    """
    import rclpy
    from rclpy.signals import SignalHandlerOptions
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    try:
        node = rclpy.create_node("wm_ask", start_parameter_services=False)
        client, limit = node.create_client(kind, name), time.monotonic() + 5.0
        while not client.service_is_ready():
            if time.monotonic() > limit:
                raise UserError(f"Nobody serves {name}: start the nodes first (`wm demo --wait`, "
                                "or a launch file), in this ROS_DOMAIN_ID.")
            time.sleep(0.02)
        for _ in range(TRIES):
            answer = client.call_async(request)
            rclpy.spin_until_future_complete(node, answer, timeout_sec=seconds / TRIES)
            if answer.done():
                return answer.result()
        raise UserError(f"{name} did not answer within {seconds:.0f} s; see the nodes' messages.")
    finally:
        rclpy.try_shutdown()
