# SPDX-License-Identifier: Apache-2.0
"""Owns the world model: proposes action chunks and shows what they would lead to."""
from __future__ import annotations

import math
import os
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from geometry_msgs.msg import PoseArray
from moveit_msgs.msg import PlanningScene
from rclpy.action import ActionServer, CancelResponse, GoalResponse

from wm_ros import paths
from wm_ros.action import Imagine
from wm_ros.bridge import chunks, observations, poses, proposals, rollouts, times
from wm_ros.bridge.furniture import laid_out
from wm_ros.errors import UserError
from wm_ros.msg import ActionChunk, ImaginedRollout, ModelStatus, Observation, Surprise
from wm_ros.nodes import qos
from wm_ros.nodes.base import WmNode, run_node
from wm_ros.nodes.goal_end import end
from wm_ros.nodes.parameters import MOST_CANDIDATES
from wm_ros.srv import Propose
from wm_ros.world_model.deciding import Decider
from wm_ros.world_model.interface import Finder, new_room

DEFAULT_CHECKPOINT = "video"
SCENE = "scene"  # camera whose images are imagined
POINTED = 3.0  # s after the last proposal during which key poses are shown


class _Foretold(NamedTuple):
    """An imagined future: when it was looked (s), and the moment (s) of its first image."""

    state: Any
    chunk_id: str
    seen: float
    moment: float


class ImaginationNode(WmNode):
    """Serves /wm/propose and /wm/imagine; publishes chunks, futures, surprise, model status."""

    def __init__(self) -> None:
        super().__init__("imagination")
        self._status_out = self.create_publisher(ModelStatus, "/wm/model_status", qos.LATCHED)
        self._model: Any = None
        self._decider: Any = None
        # One thread for all that the model does: its caches belong to the thread that warmed them.
        self._model_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="model")
        self._news = threading.Condition()
        self._latest: Observation | None = None
        self._optical = ""  # frame of the images that are imagined

    # --- life cycle
    def configure(self) -> None:
        """Load the model."""
        checkpoint = self.text("checkpoint") or str(paths.checkpoints() / DEFAULT_CHECKPOINT)
        self._info = ModelStatus(checkpoint=checkpoint, act_ms=math.nan, imagine_ms=math.nan)
        self._count = 0
        self._foretold: _Foretold | None = None
        self._shown = self._compared = -math.inf
        self._pointed = math.inf
        self._laid_out = 0.0  # when the room was (s)
        self._with_model(self._load, checkpoint)
        self._chunk_out = self.create_publisher(ActionChunk, "/wm/action_chunk", qos.EVENT)
        self._rollout_out = self.create_publisher(ImaginedRollout, "/wm/imagined_rollout",
                                                  qos.EVENT)
        self._key_out = self.create_publisher(PoseArray, "/wm/key_poses", qos.EVENT)
        self.create_timer(1.0, self._forget_key_poses, clock=self.steady)
        self._surprise_out = self.create_publisher(Surprise, "/wm/surprise", qos.EVENT)
        self.create_subscription(Observation, "/wm/observation", self._observe, qos.SENSOR)
        self.create_subscription(PlanningScene, "/wm/furniture", self._hear_room, qos.LATCHED)
        self.create_service(Propose, "/wm/propose", self._propose_wanted)
        self._imagine_server = ActionServer(
            self, Imagine, "/wm/imagine", execute_callback=self._imagine_wanted,
            goal_callback=lambda _: GoalResponse.ACCEPT if self.is_active else GoalResponse.REJECT,
            cancel_callback=lambda _: CancelResponse.ACCEPT)

    def activate(self) -> None:
        """Say that the model answers."""
        self._tell(True, "")

    def deactivate(self) -> None:
        """Say that the model answers no more."""
        self._tell(False, "The imagination node is not active.")

    def cleanup(self) -> None:
        """Give back what the model holds: the next one may need the room."""
        self._model_thread.submit(self._forget)  # before the next one is loaded, there

    def _forget(self) -> None:
        import torch

        self._model = self._decider = self._foretold = self._latest = None
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def on_problem(self, sentence: str) -> None:
        """A model that cannot be loaded: say so once, and stay."""
        self._tell(False, sentence)

    def _load(self, checkpoint: str) -> None:
        import torch

        from wm_ros.world_model import load_model
        from wm_ros.world_model.loading import device_of, takes
        # the other cores carry the simulator, the planner and the sensors
        torch.set_num_threads(int(self.value("threads")) or max(1, (os.cpu_count() or 1) // 2))
        device = device_of(self.text("device"))
        options: dict[str, Any] = {name: int(self.value(name)) for name in
                                   ("action_steps", "video_steps") if self.value(name)}
        options |= {name: self.text(name) for name in ("proposer", "dreamer") if self.text(name)}
        try:
            backend = self.text("backend")
            if backend == "onnx" or (backend == "auto" and takes(checkpoint, "backend")):
                options["backend"] = backend
            if takes(checkpoint, "robot"):
                options["robot"] = self.robot
            self._model = load_model(checkpoint, device=device, precision=self.text("precision"),
                                     **options)
        except UserError:
            raise
        except Exception as error:
            raise UserError(f"The checkpoint {checkpoint} cannot be loaded "
                            f"({type(error).__name__}: {_first_line(error)}); fetch or train it "
                            "again.") from error
        self._decider = Decider(self._model, int(self.value("n_candidates")),
                                self.number("budget"), self.number("doubt_limit"))
        self._warm_up()
        self._info.family = str(self._model.spec.family)
        self._info.device = device
        self._info.precision = str(getattr(self._model, "precision", "float32"))
        if getattr(self._model, "backend", "torch") == "onnx":
            self._info.precision += ", ONNX Runtime"

    def _warm_up(self) -> None:
        """The first call of a network takes several times as long: let nobody wait for it."""
        from wm_ros.world_model import Observation as Input
        size = int(self._model.spec.image_size)
        blank = np.zeros((size, size, 3), np.uint8)
        unit = np.array([1.0, 0.0, 0.0, 0.0])
        seen = Input(blank, np.ones((size, size), np.float32), blank, np.diag([size, size, 1.0]),
                     np.zeros(3), unit, np.array(self.robot.home), np.array([0.4, 0.0, 0.3]), unit,
                     self.robot.gripper.open_width, np.zeros(6))
        phrases = list(getattr(getattr(self._model, "text", None), "phrases", None) or [])[:1]
        for words in phrases * 2:
            state = self._model.observe(seen)
            self._model.imagine(state, self._model.act(state, words, 1), words, render=True)
            if self._decider.anytime is not None:
                self._decider.decide(seen, words, min(4, self._decider.anytime.most))

    def _tell(self, ready: bool, message: str) -> None:
        status = getattr(self, "_info", ModelStatus(act_ms=math.nan, imagine_ms=math.nan))
        status.header.stamp = times.stamp(self.now())
        status.ready, status.message = ready, message
        self._status_out.publish(status)

    # --- observations
    def _observe(self, message: Observation) -> None:
        with self._news:
            self._latest = message
            self._news.notify_all()
        told = self._foretold
        if told is None or not self.is_active:
            return
        stamp = times.seconds(message.header.stamp)
        late = stamp - told.moment
        due = late > -0.051  # the image nearest to the imagined one
        if due or stamp < told.seen:  # a clock that went back: it will not come true
            self._foretold = None
            if due and late < 0.2:
                self.worker(self._judge, told, message)

    def _hear_room(self, message: PlanningScene) -> None:
        """In another room nothing counts that was seen or imagined before."""
        if laid_out(message) == self._laid_out:  # told again
            return
        self._laid_out = laid_out(message)
        with self._news:
            self._latest = self._foretold = None
        self.worker(new_room, self._model, pool=self._model_thread)

    def _observation(self, newer_than: int) -> Observation:
        """The newest observation, at least as new as a stamp (ns); waits for it."""
        limit = time.monotonic() + self.number("observation_wait")
        with self._news:
            while (self._latest is None
                   or times.nanoseconds(self._latest.header.stamp) < newer_than):
                left = limit - time.monotonic()
                if left <= 0:
                    raise UserError("No new observation comes from the perception node; look at "
                                    "/diagnostics for the camera or joint states that are "
                                    "missing.")
                self._news.wait(left)
            return self._latest

    def _model_input(self, message: Observation) -> Any:
        from wm_ros.world_model import Observation as Input
        fields = observations.fields(message, self.robot)
        self._optical = message.images[list(message.camera_names).index(SCENE)].header.frame_id
        return Input(**fields)

    # --- propose
    async def _propose_wanted(self, request: Any, response: Any) -> Any:
        if not self.is_active:
            response.message = f"The world model is not ready. {self._info.message}".strip()
            return response
        wanted = (str(request.instruction), int(request.n_candidates), bool(request.render),
                  times.nanoseconds(request.min_stamp))
        return await self.once(wanted, self._answer, request, response)

    async def _answer(self, request: Any, response: Any) -> None:
        try:
            await self.in_worker(self._propose, request, response)
        except Exception as error:
            response.success, response.message = False, self._sentence(error)

    def _sentence(self, error: Exception) -> str:
        """What to tell who asked; what is the program's own goes into the log."""
        if isinstance(error, UserError):
            return str(error)
        self.complain(f"{type(error).__name__} in the model: {_first_line(error)}")
        return "The world model failed; see the imagination node's log."

    def _propose(self, request: Any, response: Any) -> None:
        message = self._observation(times.nanoseconds(request.min_stamp))
        seen = self._model_input(message)
        instruction = str(request.instruction) or message.instruction
        decision = self._with_model(self._decider.decide, seen, instruction,
                                    self._candidates(request), bool(request.render))
        proposed, futures, order = decision.chunks, decision.futures, decision.order
        made = [self._chunk(proposed, i, seen.stamp) for i in order]
        response.chunks = [self._chunk_message(chunk, message) for chunk in made]
        response.rollouts = [self._rollout(futures, i, chunk, seen.stamp)
                             for i, chunk in zip(order, made, strict=True)]
        response.success = True
        for chunk_message in response.chunks:
            self._chunk_out.publish(chunk_message)
        self.tick()
        if futures is not None and request.render:
            self._rollout_out.publish(response.rollouts[0])
        chosen = proposals.only(proposed, order[0])
        self.worker(self._afterwards, decision.state, chosen, instruction, made[0], seen)

    def _candidates(self, request: Any) -> int:
        """How many were asked for, within reason; 0: as many as fit into the budget."""
        default = 0 if self._decider.anytime else int(self.value("n_candidates"))
        return min(int(request.n_candidates), MOST_CANDIDATES) or default

    def _with_model(self, work: Callable[..., Any], *args: Any) -> Any:
        return self._model_thread.submit(work, *args).result()

    def _chunk(self, proposed: Any, i: int, stamp: float) -> chunks.Chunk:
        self._count += 1
        return proposals.chunk(proposed, i, f"{os.getpid()}-{self._count}", stamp,
                               self.number("validity"))

    def _chunk_message(self, chunk: chunks.Chunk, seen: Observation) -> ActionChunk:
        return chunks.to_message(chunk, self.robot.base_link, self.robot.tcp_link,
                                 int(seen.sequence))

    def _rollout(self, futures: Any, i: int, chunk: chunks.Chunk, stamp: float) -> ImaginedRollout:
        return rollouts.to_message(proposals.rollout(futures, i, chunk, stamp),
                                   self.robot.base_link, self._optical)

    # --- between two proposals, while the arm moves
    def _afterwards(self, state: Any, proposed: Any, instruction: str, chunk: chunks.Chunk,
                    seen: Any) -> None:
        """Imagine the chunk's future for people, whose frames are drawn only where somebody looks,
        and for the judgement of what then happens, which needs no frames."""
        self._show_key_poses(state, instruction, seen.stamp)
        drawn = (self._rollout_out.get_subscription_count() > 0
                 and _due(self._shown, self.number("render_rate")))
        # what was foretold before is waited for: a newer future would never come true
        judged = bool(self.value("judge")) and self._foretold is None and (
            drawn or _due(self._compared, self.number("judge_rate")))
        if not drawn and not judged:
            return
        now = time.monotonic()
        self._shown = now if drawn else self._shown
        self._compared = now if judged else self._compared
        futures = self._with_model(self._decider.imagine, state, proposed, instruction, drawn)
        if drawn:
            self._rollout_out.publish(self._rollout(futures, 0, chunk, seen.stamp))
        if judged and len(futures.times):
            self._foretold = _Foretold(state, chunk.id, seen.stamp,
                                       seen.stamp + float(futures.times[0]))
        self._update_speed()

    def _show_key_poses(self, state: Any, instruction: str, stamp: float) -> None:
        """Where the model takes the things to be that the words name."""
        if isinstance(self._model, Finder) and self._key_out.get_subscription_count():
            positions, turns = self._with_model(self._model.locate, state, instruction)
            self._key_out.publish(poses.to_array(positions, turns, self.robot.base_link, stamp))
            self._pointed = time.monotonic()

    def _forget_key_poses(self) -> None:
        """Nothing is pointed at once no instruction is carried out any more."""
        if time.monotonic() - self._pointed > POINTED:
            self._pointed = math.inf
            self._key_out.publish(poses.to_array(np.empty((0, 3)), np.empty((0, 4)),
                                                 self.robot.base_link, self.now()))

    def _judge(self, told: _Foretold, message: Observation) -> None:
        """How far is reality from the first imagined image?"""
        seen = self._model_input(message)
        value = float(self._with_model(self._model.surprise, told.state, seen))
        if not math.isfinite(value):
            return
        report = Surprise(value=value, threshold=self.number("surprise_threshold"),
                          chunk_id=told.chunk_id, family=self._info.family)
        report.header.stamp, report.header.frame_id = message.header.stamp, self.robot.base_link
        self._surprise_out.publish(report)

    def _update_speed(self) -> None:
        for name, seconds in (("act_ms", self._decider.act_seconds),
                              ("imagine_ms", self._decider.imagine_seconds)):
            if seconds:
                setattr(self._info, name, 1000.0 * statistics.median(seconds))
        self._tell(self.is_active, "")

    # --- imagine
    async def _imagine_wanted(self, handle: Any) -> Imagine.Result:
        try:
            result = await self.in_worker(self._imagine_body, handle)
        except Exception as error:
            result = Imagine.Result(success=False, message=self._sentence(error))
        end(handle, result.success)
        return result

    def _imagine_body(self, handle: Any) -> Imagine.Result:
        request = handle.request
        message = self._observation(0)
        seen = self._model_input(message)
        instruction = str(request.instruction) or message.instruction
        given = [chunks.from_message(m, self.robot.base_link, self.robot.tcp_link)
                 for m in request.chunks]
        handle.publish_feedback(Imagine.Feedback(progress=0.0))
        if given:
            futures = self._with_model(self._futures, seen, given, instruction)
            made, order = given, list(range(len(given)))
        else:
            decision = self._with_model(self._decider.decide, seen, instruction,
                                        self._candidates(request), True)
            futures, order = decision.futures, decision.order
            made = [self._chunk(decision.chunks, i, seen.stamp) for i in order]
        result = Imagine.Result(success=True)
        result.chunks = (list(request.chunks) if given
                         else [self._chunk_message(chunk, message) for chunk in made])
        result.rollouts = [self._rollout(futures, i, chunk, seen.stamp)
                           for i, chunk in zip(order, made, strict=True)]
        for rollout in result.rollouts:
            self._rollout_out.publish(rollout)
        handle.publish_feedback(Imagine.Feedback(progress=1.0))
        return result

    def _futures(self, seen: Any, given: list[chunks.Chunk], instruction: str) -> Any:
        """What a caller's chunks lead to; nothing is proposed. For the model's thread."""
        from wm_ros.world_model import ActionChunks
        if len({chunk.dt for chunk in given}) > 1:
            raise UserError("The chunks run at different rates: imagine those of each rate alone.")
        proposed = ActionChunks(dt=given[0].dt, **proposals.given_fields(
            given, self._model.spec.horizon, seen.gripper))
        return self._decider.imagine(self._model.observe(seen), proposed, instruction, True)


def _due(last: float, rate: float) -> bool:
    """Whether what happens at ``rate`` (Hz; 0: never) and did last (s) is due again."""
    return rate > 0 and time.monotonic() - last >= 1.0 / rate - 0.2


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:200]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node."""
    return run_node(ImaginationNode, args)
