# SPDX-License-Identifier: Apache-2.0
"""Watches nodes, rates, latency and surprise; can only stop the arm."""
from __future__ import annotations

import math
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np
from action_msgs.srv import CancelGoal
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from wm_ros.bridge import times
from wm_ros.msg import ModelStatus, Observation, Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.clients import cancel_all
from wm_ros.nodes.watch import HeartbeatWatch

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


RECENT = 0.5  # s; nodes heard since then are back
AHEAD = 0.05  # s; stamps further in the future are of another clock
INSISTING = 1.0  # s after a stop during which it is repeated
GO_ON = ("Call /wm/resume (`wm resume`) to let it move again, then give the instruction anew: it "
         "does not go on by itself.")


class MonitorNode(WmNode):
    """Publishes /diagnostics, serves /wm/stop and /wm/resume, latches /wm/stopped."""

    def __init__(self) -> None:
        super().__init__("monitor")
        self._stopped = False
        self._reason = ""
        self._for_person = False
        self._new, self._told = True, False
        self._insists_until = -math.inf  # on the steady clock (s)

    def configure(self) -> None:
        """Create the interfaces."""
        self._required = [str(name) for name in self.value("safety.nodes")]
        self._complete = False
        self._ages: deque[float] = deque(maxlen=50)
        # on the steady clock: the ROS clock may stop together with the observations
        self._arrivals: deque[float] = deque(maxlen=50)
        self._surprises = 0
        self._surprise = Surprise(value=math.nan)
        self._model = ModelStatus()
        self._stopped_out = self.create_publisher(Bool, "/wm/stopped", qos.LATCHED)
        self._event_out = self.create_publisher(String, "/trajectory_execution_event", qos.EVENT)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.EVENT)
        arm = f"/{self.robot.controllers.arm}/follow_joint_trajectory/_action/cancel_goal"
        grip = f"{self.robot.controllers.gripping}/_action/cancel_goal"
        self._cancels = [self.create_client(CancelGoal, name) for name in (arm, grip)]
        self._watch = HeartbeatWatch(self, self._required, self._lost)
        self.create_subscription(Observation, "/wm/observation", self._see, qos.SENSOR, raw=True)
        self.create_subscription(Surprise, "/wm/surprise", self._hear_surprise, qos.EVENT)
        self.create_subscription(ModelStatus, "/wm/model_status", self._hear_model, qos.LATCHED)
        self.create_service(Trigger, "/wm/stop", self._stop_wanted)
        # for buttons: best effort hears every publisher, and from a reliable one what was lost
        # comes again; a stop that is heard twice is one stop
        for quality in (qos.SENSOR, qos.EVENT):
            self.create_subscription(Bool, "/wm/stop", self._hear_stop, quality)
        self.create_service(Trigger, "/wm/resume", self._resume_wanted)

    def activate(self) -> None:
        """Start watching. A new process knows of no stop and releases none: what the one before it
        said counts until somebody calls /wm/resume."""
        if not self._new:
            self._tell(self._stopped)
        self._new = False
        self._looks = [self.create_timer(0.1, self._look, clock=self.steady),
                        self.create_timer(1.0, self._diagnose, clock=self.steady)]

    def deactivate(self) -> None:
        """A monitor that stops watching stops the arm."""
        for timer in self._looks:
            self.destroy_timer(timer)
        if self._complete:
            self._halt("The arm was stopped because the monitor was deactivated.", person=False)

    def cleanup(self) -> None:
        """Watch nobody."""
        self._watch.close()

    def _tell(self, stopped: bool) -> None:
        self._stopped_out.publish(Bool(data=stopped))
        self._told = True

    # --- what makes it stop
    def _lost(self, names: list[str]) -> None:
        if self._complete:
            self._halt(f"The arm was stopped because the {_listed(names)} was lost.", person=False)
            self._complete = False

    def _look(self) -> None:
        if self._stopped and time.monotonic() < self._insists_until:
            self._cancel()
        timeout = self.number("safety.heartbeat_timeout")
        gone = [name for name in self._required
                if self._watch.silent([name], timeout)
                or self._watch.state(name) not in ("active", "inactive", "unconfigured")]
        present = self._watch.present(self._required, timeout)
        if self._complete and not present:
            self._lost(gone or [n for n in self._required if self._watch.state(n) != "active"])
        # the last word of a node that was just lost is not old yet; without a loss it may be
        if present and not (self._stopped and self._watch.silent(self._required, RECENT)):
            self._complete = True
            back = self.value("safety.resume_when_back") and self._sees()
            if self._stopped and not self._for_person and back:
                self._release("All nodes are back.")

    def _sees(self) -> bool:
        """Whether observations come: a node is back only when its work is done again."""
        return bool(self._arrivals) and time.monotonic() - self._arrivals[-1] < RECENT

    def _hear_surprise(self, message: Surprise) -> None:
        self._surprise = message
        high = message.value > message.threshold
        self._surprises = self._surprises + 1 if high else 0
        huge = message.value > message.threshold * self.number("safety.surprise_at_once")
        if (self.value("safety.stop_on_surprise")
                and (huge or self._surprises >= int(self.value("safety.surprise_count")))):
            self._halt("The arm was stopped because the model is surprised: the room does not "
                       "behave as imagined. Look at it, then call /wm/resume.", person=True)

    def _hear_stop(self, message: Bool) -> None:
        """A button can stop the arm; only a person's /wm/resume lets it move again."""
        if message.data:
            self._halt(f"The arm was stopped on /wm/stop. {GO_ON}", person=True)

    def _stop_wanted(self, _request: Any, response: Any) -> Any:
        self._halt(f"The arm was stopped on request. {GO_ON}", person=True)
        response.success, response.message = True, self._reason
        return response

    def _resume_wanted(self, _request: Any, response: Any) -> Any:
        if not self.is_active:
            response.message = "Not resumed: the monitor node is not active."
            return response
        missing = [n for n in self._required if self._watch.state(n) != "active"
                   or self._watch.silent([n], self.number("safety.heartbeat_timeout"))]
        if missing:
            response.message = f"Not resumed: the {_listed(missing)} is not active."
            return response
        self._release("Resumed.")
        response.success, response.message = True, "Resumed."
        return response

    def _halt(self, reason: str, person: bool) -> None:
        """Cancel everything on the controllers and tell MoveIt; then say so.

        It is repeated for a while: what MoveIt has taken and not yet begun would be driven.
        """
        self._cancel()
        self._insists_until = time.monotonic() + INSISTING
        first, for_person = not self._stopped, person and not self._for_person
        if first or for_person:  # what only a person can end is what to say
            self._reason = reason
            self.get_logger().error(reason)
        self._for_person = self._for_person or person
        if first:
            self._stopped, self._surprises = True, 0
            self._tell(True)

    def _cancel(self) -> None:
        for client in self._cancels:
            cancel_all(client)
        self._event_out.publish(String(data="stop"))

    def _release(self, why: str) -> None:
        self._stopped = self._for_person = False
        self._reason = ""
        self._surprises = 0
        self._tell(False)
        self.get_logger().info(why)

    # --- what it reports
    def _see(self, data: bytes) -> None:
        # The stamp is the message's first field, after four bytes that tell the byte order (CDR);
        # the images need not be unpacked.
        sec, nanosec = struct.unpack_from("<iI" if data[1] else ">iI", data, 4)
        self._ages.append(self.now() - (sec + 1e-9 * nanosec))
        self._arrivals.append(time.monotonic())
        self.tick()

    def _hear_model(self, message: ModelStatus) -> None:
        self._model = message

    def _diagnose(self) -> None:
        report = DiagnosticArray()
        report.header.stamp = times.stamp(self.now())
        report.status = [self._about_stop(), *(self._about(name) for name in self._required),
                         self._about_loop(), self._about_model()]
        self._diagnostics.publish(report)

    def _status(self, name: str, level: bytes, message: str, **values: float) -> DiagnosticStatus:
        return DiagnosticStatus(
            name=f"monitor: {name}", level=level, message=message, hardware_id=self.robot.name,
            values=[KeyValue(key=key, value=f"{value:.3f}") for key, value in values.items()])

    def _about_stop(self) -> DiagnosticStatus:
        if self._stopped:
            return self._status("arm", ERROR, self._reason)
        before = "" if self._told else ("; if it was stopped before this monitor was started, "
                                        "call /wm/resume")
        return self._status("arm", OK, f"free to move{before}")

    def _about(self, name: str) -> DiagnosticStatus:
        rate = self._watch.rate(name)
        if self._watch.silent([name], self.number("safety.heartbeat_timeout")):
            return self._status(name, ERROR, f"The {name} node is missing; start it again.")
        state = self._watch.state(name)
        level = OK if state == "active" else WARN
        return self._status(name, level, state, rate=rate)

    def _about_loop(self) -> DiagnosticStatus:
        recent = [t for t in self._arrivals if t > time.monotonic() - 3.0]
        if len(recent) < 2:
            return self._status("observations", ERROR, "No observations come; look at the "
                                "perception node's diagnostics for the sensor that is missing.")
        rate = (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)
        age = float(np.percentile(list(self._ages)[-len(recent):], 95))
        values = {"rate": rate, "age_p95": age}
        if age < -AHEAD:  # all of them are
            return self._status("observations", WARN, f"The camera's clock is ahead by at least "
                                f"{-age:.2f} s; synchronise it.", **values)
        if rate < self.number("safety.min_observation_rate"):
            return self._status("observations", WARN, f"Only {rate:.1f} observations a second "
                                "come; the machine or a camera is too slow.", **values)
        if age > self.number("safety.max_latency"):
            return self._status("observations", WARN, f"Observations are {age:.2f} s old when "
                                "they come; the machine is too slow.", **values)
        return self._status("observations", OK, "ok", **values)

    def _about_model(self) -> DiagnosticStatus:
        model, surprise = self._model, float(self._surprise.value)
        if not model.ready:
            return self._status("model", ERROR, model.message or "No model is loaded yet.")
        level = WARN if surprise > self._surprise.threshold > 0 else OK
        return self._status("model", level, "surprised" if level == WARN else "ok",
                            act_ms=model.act_ms, surprise=surprise)


def _listed(names: list[str]) -> str:
    return " and the ".join(f"{name} node" for name in names) or "node"


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(MonitorNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
