# SPDX-License-Identifier: Apache-2.0
"""What all nodes share: life cycle, parameters, heartbeat, worker threads, a clean end."""
from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import rclpy
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    ExternalShutdownException,
    SingleThreadedExecutor,
    await_or_execute,
)
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future

from wm_ros import environment
from wm_ros.bridge import times
from wm_ros.errors import UserError
from wm_ros.msg import NodeStatus
from wm_ros.nodes import qos
from wm_ros.nodes.entities import entities, release
from wm_ros.nodes.parameters import COMMON, DECLARED, Parameter, declare
from wm_ros.robot import RobotConfig, load_robot

LAST_WORDS = 1.0  # s; what a publisher has said may be lost when it is destroyed sooner
PATIENCE = 3.0  # s within which a node that is to end has brought to rest what it moves


def machine() -> str:
    """Where a PID means the same process: host name, boot and PID namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return f"{socket.gethostname()}/{boot}/{os.stat('/proc/self/ns/pid').st_ino}"


class WmNode(LifecycleNode):
    """A life-cycle node whose subclasses fill in ``configure`` and, if need be, the others.

    A ``UserError`` raised in a hook becomes the one sentence in the log and in the node's status;
    the process stays alive, so that a bad setting gives one message and no restart loop.

    :param parameters: what it declares beside COMMON; None: what DECLARED says of its name
    """

    def __init__(self, name: str, parameters: Sequence[Parameter] | None = None) -> None:
        super().__init__(name)
        # An awaited body would otherwise keep every other callback of the node waiting; one thread
        # runs them all, so they never run at the same time anyway.
        self._default_callback_group = ReentrantCallbackGroup()  # type: ignore[assignment]
        declare(self, DECLARED.get(name, COMMON) if parameters is None else
                (*COMMON, *parameters))
        self.robot: RobotConfig = load_robot(self.text("robot"))
        self._complaints: dict[str, float] = {}
        self._asked: dict[tuple[Any, ...], Future] = {}  # what is being answered
        self._workers = ThreadPoolExecutor(max_workers=8, thread_name_prefix=name)
        self._ticks: deque[float] = deque(maxlen=50)
        self._life = "unconfigured"
        self._kept: set[int] = set()  # what the node has in ROS before it is configured
        self._change_state = self._service_change_state.callback
        self._service_change_state.callback = self._change_wanted
        self._beat_message = NodeStatus(node=f"/{name}", host=machine(),
                                        pid=os.getpid())
        self._beats = self.create_publisher(NodeStatus, "/wm/heartbeat",
                                            qos.heartbeat(self.number("heartbeat.lease")))
        # Liveliness alone tells of a dead process; the message also tells of a hanging one.
        self.steady = rclpy.clock.Clock(clock_type=rclpy.clock.ClockType.STEADY_TIME)
        self._beat_timer = self.create_timer(1.0 / self.number("heartbeat.rate"), self._beat,
                                             clock=self.steady)

    # --- hooks of the subclasses
    def configure(self) -> None:
        """Create publishers, servers and whatever takes long."""

    def activate(self) -> None:
        """Start working."""

    def deactivate(self) -> None:
        """Stop working; the arm must rest afterwards."""

    def cleanup(self) -> None:
        """End what ``configure`` began outside ROS."""

    # --- topics
    def create_publisher(self, *args: Any, **named: Any) -> Any:
        """As rclpy's; a mismatch of QoS is told by whoever subscribes."""
        named.setdefault("event_callbacks", qos.UNWATCHED_OUT)
        return super().create_publisher(*args, **named)

    def create_subscription(self, msg_type: Any, topic: str, *args: Any, **named: Any) -> Any:
        """As rclpy's, which warns of publishers with another QoS, but for topics of the suite."""
        if topic.startswith("/wm/"):
            named.setdefault("event_callbacks", qos.UNWATCHED_IN)
        return super().create_subscription(msg_type, topic, *args, **named)

    def create_service(self, srv_type: Any, srv_name: str, callback: Callable[..., Any],
                       **named: Any) -> Any:
        """As rclpy's, which lets an error in the body end the process; here it is the answer."""
        async def answered(request: Any, response: Any) -> Any:
            try:
                return await await_or_execute(callback, request, response)
            except Exception as error:
                self.complain(f"{type(error).__name__} in {srv_name}: {error}")
            response = srv_type.Response()
            if hasattr(response, "message"):
                response.message = f"{srv_name} failed; see the {self.get_name()} node's log."
            return response
        return super().create_service(srv_type, srv_name, answered, **named)

    # --- parameters
    def value(self, name: str) -> Any:
        """The value of a parameter."""
        return self.get_parameter(name).value

    def text(self, name: str) -> str:
        """A parameter as text."""
        return str(self.value(name))

    def number(self, name: str) -> float:
        """A parameter as a number."""
        return float(self.value(name))

    # --- time and work
    def now(self) -> float:
        """Seconds on the ROS clock."""
        return self.get_clock().now().nanoseconds * 1e-9

    def tick(self) -> None:
        """Count one piece of the node's main work, for the rate in its heartbeat."""
        self._ticks.append(time.monotonic())

    def worker(self, work: Callable[..., Any], *args: Any,
               pool: ThreadPoolExecutor | None = None) -> None:
        """Run blocking work in a thread of its own, so that messages keep flowing.

        :param pool: whose threads; None: the node's
        """
        def guarded() -> None:
            try:
                work(*args)
            except UserError as error:
                self.complain(str(error))
            except Exception as error:
                if rclpy.ok():
                    self.complain(f"{type(error).__name__} in {work.__name__}: {error}")
        (pool or self._workers).submit(guarded)

    async def in_worker(self, work: Callable[..., Any], *args: Any,
                        pool: ThreadPoolExecutor | None = None) -> Any:
        """Await blocking work; for bodies of services and actions. See :meth:`worker`."""
        future = Future()

        def body() -> None:
            try:
                future.set_result(work(*args))
            except BaseException as error:
                future.set_exception(error)
            executor = self.executor
            if executor is not None:
                executor.wake()
        (pool or self._workers).submit(body)
        return await future

    async def once(self, wanted: tuple[Any, ...], answer: Callable[[Any, Any], Awaitable[None]],
                   request: Any, response: Any) -> Any:
        """Await ``answer``; who asks the same again meanwhile, for it takes long, gets the same:
        the work must not be done twice."""
        if wanted in self._asked:
            return await self._asked[wanted]
        future = self._asked[wanted] = Future()
        try:
            await answer(request, response)
        finally:
            del self._asked[wanted]
            future.set_result(response)
        return response

    def complain(self, sentence: str) -> None:
        """Log a sentence, the same one at most every ten seconds."""
        now = time.monotonic()
        if now - self._complaints.get(sentence, -1e9) > 10.0:
            self._complaints[sentence] = now
            self.get_logger().error(sentence)

    # --- life cycle
    def _change_wanted(self, request: Any, response: Any) -> Any:
        """A transition that is impossible now is refused; rclpy's own body raises."""
        try:
            return self._change_state(request, response)
        except _rclpy.RCLError:
            self.complain(f"Transition {request.transition.id} is not possible: this node is "
                          f"{self._state_machine.current_state[1]}.")
            response.success = False
            return response

    def _transition(self, hook: Callable[[], None], reached: str) -> TransitionCallbackReturn:
        try:
            hook()
        except UserError as error:
            return self._failed(str(error))
        except Exception as error:
            return self._failed(f"{type(error).__name__}: {error}")
        self._life = reached
        self._beat()
        return TransitionCallbackReturn.SUCCESS

    def _failed(self, sentence: str) -> TransitionCallbackReturn:
        self.complain(sentence)
        self._life = "error"
        self._beat()
        self.on_problem(sentence)
        return TransitionCallbackReturn.FAILURE

    def on_problem(self, sentence: str) -> None:
        """Called with the sentence that stopped a transition."""

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See ``configure``."""
        self._kept = set(entities(self))
        result = self._transition(self.configure, "inactive")
        if result != TransitionCallbackReturn.SUCCESS:
            release(self, self._kept)
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See ``activate``."""
        super().on_activate(state)
        return self._transition(self.activate, "active")

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See ``deactivate``."""
        result = self._transition(self.deactivate, "inactive")
        super().on_deactivate(state)
        return result

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """See ``cleanup``; what ``configure`` and later bodies made in ROS is given back here."""
        result = self._transition(self.cleanup, "unconfigured")
        release(self, self._kept)
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Rest now; a moment later, when its last words have been heard, see ``stop``."""
        if self._life == "unconfigured":
            return self._transition(self.stop, "finalized")
        result = self.rest()
        limit = time.monotonic() + LAST_WORDS + PATIENCE
        self.create_timer(LAST_WORDS, lambda: self._leave(limit), clock=self.steady)
        return result

    def at_work(self) -> bool:
        """Whether something has yet to be brought to rest; the node's end waits for it a while."""
        return False

    def _leave(self, limit: float) -> None:
        """Nothing is heard or served any more: a callback could find nobody to work for it."""
        if self.at_work() and time.monotonic() < limit:
            return  # the timer comes again
        self._transition(self.stop, "finalized")
        release(self, self._kept)

    @property
    def is_active(self) -> bool:
        """Whether the node works."""
        return self._life == "active"

    def autostart(self) -> None:
        """Configure and activate, unless a life-cycle manager is to do it."""
        if not self.value("autostart"):
            return
        if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def rest(self) -> TransitionCallbackReturn:
        """Work no more, but go on hearing."""
        if self._life == "active":
            return self._transition(self.deactivate, "inactive")
        return TransitionCallbackReturn.SUCCESS

    def stop(self) -> None:
        """Rest and give everything back; never raises."""
        for hook, states in ((self.deactivate, ("active",)),
                             (self.cleanup, ("active", "inactive", "error"))):
            if self._life in states:
                try:
                    hook()
                except Exception as error:
                    self.get_logger().debug(f"at the end: {error}")
        self._life = "finalized"
        self._workers.shutdown(wait=False, cancel_futures=True)

    # --- heartbeat
    def _beat(self) -> None:
        self._beat_message.header.stamp = times.stamp(self.now())
        self._beat_message.state = self._life
        self._beat_message.rate = self._rate()
        try:
            self._beats.publish(self._beat_message)
        except Exception:
            if rclpy.ok():
                raise

    def _rate(self) -> float:
        # a copy: other threads tick meanwhile
        recent = [t for t in list(self._ticks) if t > time.monotonic() - 3.0]
        if len(recent) < 2:
            return float("nan")
        return (len(recent) - 1) / max(recent[-1] - recent[0], 1e-6)


def begin(args: Sequence[str] | None) -> None:
    """Start ROS in this process; signals stay Python's.

    :param args: the command line; None: this process's own
    :raises UserError: when ROS cannot read it, or a parameter file that it names
    """
    environment.prepare()
    try:
        rclpy.init(args=list(sys.argv if args is None else args),
                   signal_handler_options=SignalHandlerOptions.NO)
    except (_rclpy.RCLError, _rclpy.RCLInvalidROSArgsError, _rclpy.UnknownROSArgsError) as error:
        why = str(error).removeprefix("failed to initialize rcl: ").split(", at /")[0]
        hint = "; write either all numbers of a list with a point or none" * ("same type" in why)
        raise UserError("ROS cannot read what this node is started with: "
                        f"{why.replace('. ', ', ')}{hint}.") from error


def run_node(create: Callable[[], WmNode], args: Sequence[str] | None = None) -> int:
    """Body of every node's ``main``: spin in one thread until a signal, then end cleanly."""
    try:
        begin(args)
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    faulthandler.register(signal.SIGUSR1)  # where a hanging node hangs, into its log
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    status = 1  # whatever is not caught here is a mistake
    try:
        node = create()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        node.create_timer(0.5, lambda: leave_with_supervisor(ending), clock=node.steady)
        node.autostart()
        while not ending.is_set():
            turn(executor)
        come_to_rest(node, executor)
        node.stop()
        status = 0
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        status = 2
    except ExternalShutdownException:
        status = 0
    finally:
        rclpy.try_shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        # Worker threads may still wait for answers that no longer come.
        threading.Timer(2.0, os._exit, args=(status,)).start()
    return status


def turn(executor: SingleThreadedExecutor, seconds: float | None = None) -> None:
    """Run one callback; an answer that outlived its server is lost with it.

    :param seconds: to wait for one at most; None: for ever
    """
    # A transition may give back a server while a worker thread still works for it.
    with contextlib.suppress(InvalidHandle):
        executor.spin_once(seconds)


def come_to_rest(node: WmNode, executor: SingleThreadedExecutor) -> None:
    """Let a node that was told to end stop what moves: a stop that is said once may be lost."""
    limit = time.monotonic() + PATIENCE
    node.rest()
    while node.at_work() and time.monotonic() < limit:
        turn(executor, 0.05)


def leave_with_supervisor(ending: threading.Event) -> None:
    """Set ``ending`` when the supervisor that started this process is gone."""
    if environment.abandoned():
        ending.set()
