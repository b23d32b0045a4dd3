# SPDX-License-Identifier: Apache-2.0
"""``wm demo``: a simulated room, all nodes, one instruction done by the arm, and a report."""
from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from wm_ros.errors import UserError
from wm_ros.evaluation.folders import contents, set_aside
from wm_ros.files import alone, write_json
from wm_ros.instruct import TRULY_DONE, planner_check
from wm_ros.nodes.node_list import DEFAULTS, PORT, SEED
from wm_ros.view.guard import check_address

if TYPE_CHECKING:
    from wm_ros.nodes.demo_client import DemoClient
    from wm_ros.nodes.supervisor import Supervisor

HELP = "Do one instruction in a simulated room with all nodes running, and write a report."
READY_TIMEOUT = 90.0  # s
HOPELESS = 3  # deaths after which no node is waited for


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--scene", "--room", default="home", help="home or office")
    parser.add_argument("--task", default="", help="what to do, in plain words; `wm sim` lists "
                        "the tasks (default: " + ", ".join(
                            f"{words} ({room})" for room, words in DEFAULTS.items()) + ")")
    parser.add_argument("--seed", type=int, default=SEED, help="seed of the held-out layout")
    parser.add_argument("--runs", type=int, default=1, help="so many runs with seeds in a row")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder of the report")
    parser.add_argument("--model", default="",
                        help="checkpoint name or folder (default: the shipped one)")
    parser.add_argument("--headless", action="store_true", help="no page in the browser")
    parser.add_argument("--candidates", type=int, default=0,
                        help="chunks to choose from each time, 64 at most; 0: the planning node's "
                        "n_candidates, which is one")
    parser.add_argument("--time-limit", type=float, default=0.0, help="seconds for one run "
                        "(default 0: the planning node's time_limit, 60)")
    parser.add_argument("--config", type=Path, metavar="YAML", help="your parameters of the "
                        "nodes, as the launch files take them; the options here win")
    parser.add_argument("--port", type=int,
                        help=f"port of the page (default: the parameters', {PORT})")
    parser.add_argument("--no-bag", action="store_true", help="record no bag")
    parser.add_argument("--no-report", action="store_true", help="write JSON but no HTML")
    parser.add_argument("--wait", action="store_true",
                        help="keep the room and the page until Ctrl-C")


def run(args: argparse.Namespace) -> int:
    """Run the command; 0 when every run succeeded."""
    # clean up after both; a shell's background job ignores Ctrl-C unless it is asked for
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    started = time.monotonic()
    plans = _plans(args)
    if not args.headless:
        check_address(*_page(args))
    _check_folder(args.out)
    with alone(args.out):
        _fresh(args.out)
        return _all(args, plans, started)


def _all(args: argparse.Namespace, plans: list[Plan], started: float) -> int:
    """All runs in one system, then their reports; see :func:`run`."""
    out = args.out
    say(f"Starting the nodes of the {args.scene} (log files in {out / 'logs'}).")
    from wm_ros.nodes import demo_client
    demo_client.init()
    results = []
    try:
        with _system(args, plans[0], out) as (supervisor, client):
            say(f"Ready after {time.monotonic() - started:.0f} s.")
            for i, plan in enumerate(plans):
                folder = out if len(plans) == 1 else out / f"seed{plan.seed}"
                if i:
                    client.reset(args.scene, plan.task, plan.seed, True)
                    time.sleep(1.0)
                results.append(_one(args, plan, folder, client))
            if args.wait:
                say("Everything keeps running; end it with Ctrl-C.")
                with suppress(KeyboardInterrupt):
                    while True:
                        time.sleep(1.0)
    finally:
        demo_client.shutdown()
    summary = _summary(results, time.monotonic() - started)
    if len(plans) == 1:
        _rewrite(out / "result.json", summary)
    else:
        write_json(out / "result.json", summary)
    if not args.no_report:
        for result in results:
            _report(Path(result["folder"]))
    summary["seconds_in_all"] = round(time.monotonic() - started, 1)
    print(json.dumps(_short(summary), indent=2))
    return 0 if summary["success"] else 1


class Plan:
    """One run: the words, and the layout in which the simulator can judge them."""

    def __init__(self, instruction: str, task: str, seed: int) -> None:
        self.instruction, self.task, self.seed = instruction, task, seed


def _plans(args: argparse.Namespace) -> list[Plan]:
    from wm_ros.launching.gazebo import robot_name
    from wm_ros.launching.system import checkpoint, user_file
    from wm_ros.robot import load_robot
    from wm_ros.sim.judging import task_for
    if args.scene not in DEFAULTS:
        raise UserError(f"There is no scene {args.scene!r}; choose one of {', '.join(DEFAULTS)}.")
    if args.runs < 1 or not 0 <= args.seed < 2**31 - args.runs:
        raise UserError("--runs must be at least 1, --seed at least 0, and their sum less than "
                        "2147483648.")
    if args.candidates < 0:
        raise UserError("--candidates must be at least 0.")
    if not args.time_limit >= 0:
        raise UserError("--time-limit must be at least 0 seconds.")
    user_file(str(args.config or ""), "--config ")
    load_robot(robot_name(str(args.config or "")))
    checkpoint(args.model, "--model ")
    if args.port is not None and not 0 < args.port < 65536:
        raise UserError(f"--port {args.port} is not possible; choose one from 1 to 65535.")
    words = args.task.strip() or DEFAULTS[args.scene]
    plans: list[Plan] = []
    seed = args.seed
    for _ in range(args.runs):
        meant = task_for(words, args.scene, seed)
        task, seed = meant if meant else ("", seed)
        plans.append(Plan(words, task, seed))
        seed += 1
    return plans


def _page(args: argparse.Namespace) -> tuple[str, int]:
    """Host and port of the page: the option, else as the user's parameter file has them."""
    from wm_ros.launching.system import page_address
    return page_address({"config": str(args.config or ""), "port": str(args.port or "")})


def _check_folder(out: Path) -> None:
    """:raises UserError: a folder holds something that is no earlier run"""
    if contents(out) and not (out / "result.json").exists() and not (out / "logs").exists():
        raise UserError(f"{out} holds something that is no earlier run: name another folder with "
                        "--out.")


def _fresh(out: Path) -> None:
    """What an earlier run left in a folder is moved aside, never overwritten."""
    if left := contents(out):
        say(f"The earlier run is kept in {set_aside(out, left)}.")


@contextmanager
def _system(args: argparse.Namespace, plan: Plan,
            out: Path) -> Iterator[tuple[Supervisor, DemoClient]]:
    """All nodes, ready; whatever happens, no process is left behind."""
    from wm_ros.launching.gazebo import robot_name
    from wm_ros.launching.system import user_file
    from wm_ros.nodes.demo_client import DemoClient
    from wm_ros.nodes.node_list import nodes
    from wm_ros.nodes.supervisor import WRONG_SETTINGS, Supervisor
    from wm_ros.robot import load_robot
    specs = nodes(args.scene, view=not args.headless, task=plan.task, seed=plan.seed,
                  held_out=True)
    given = args.model and Path(args.model).exists()
    checkpoint = str(Path(args.model).resolve()) if given else args.model
    config, (host, port) = str(args.config or ""), _page(args)
    more: dict[str, dict[str, Any]] = {"view": {"port": port}}
    if checkpoint:
        more["imagination"] = {"checkpoint": checkpoint}
    specs = [spec.with_parameters(**more.get(spec.name, {})) for spec in specs]

    deaths: Counter[str] = Counter()

    def died(name: str, status: int) -> None:
        if status == WRONG_SETTINGS:
            deaths[name] = HOPELESS
            say(f"The {name} node cannot work with what it was given, and is not started again; "
                f"see {out / 'logs' / (name + '.log')}.")
            return
        deaths[name] += 1
        say(f"The {name} node ended (status {status}) and is started again.")
    client, robot = None, load_robot(robot_name(config))
    with Supervisor(specs, out / "logs", died, user_file(config)) as supervisor:
        try:
            client = DemoClient(robot)
            required = [spec.name for spec in specs if spec.safety]
            _wait_ready(client, required, out, deaths)
            if not args.headless:
                say(f"Look at http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port} .")
            yield supervisor, client
        finally:
            if client is not None:
                client.close()


def _wait_ready(client: DemoClient, names: list[str], out: Path, deaths: Counter[str]) -> None:
    limit = time.monotonic() + READY_TIMEOUT
    told = 0.0
    while missing := client.missing(names):
        failed = client.failed(names)
        if failed:
            why = client.model.message if "imagination" in failed else ""
            why = why or _last_error(out / "logs" / f"{failed[0]}.log")
            raise UserError(why or f"The {failed[0]} node cannot start; see {out / 'logs'}.")
        name = next((name for name in missing if deaths[name] >= HOPELESS), missing[0])
        if time.monotonic() > limit or deaths[name] >= HOPELESS:
            why = _last_error(out / "logs" / f"{name}.log")
            raise UserError(f"The {name} node did not become ready"
                            f"{': ' + why if why else ''}; see {out / 'logs' / (name + '.log')}.")
        if time.monotonic() - told > 10.0:
            if told:
                say(f"Waiting for {', '.join(missing)}.")
            told = time.monotonic()
        time.sleep(0.1)


def _last_error(path: Path) -> str:
    """The sentence that a node logged last as an error."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    errors = [line.split("]: ", 1)[1] for line in lines
              if line.startswith("[ERROR]") and "]: " in line]
    return errors[-1] if errors else (lines[-1][:300] if lines else "")


def _one(args: argparse.Namespace, plan: Plan, folder: Path, client: DemoClient) -> dict[str, Any]:
    """One instruction from the first look to result.json."""
    from wm_ros.nodes.recording import Recording
    from wm_ros.nodes.timing import timing
    from wm_ros.report.run_log import RunLog
    log = RunLog(folder)
    folder.mkdir(parents=True, exist_ok=True)
    recording = None if args.no_bag else Recording(folder, client.is_recorded)
    if recording is not None and recording.problem:
        say(f"No bag is recorded: {recording.problem}")
    say(f'"{plan.instruction}" (seed {plan.seed}'
        f'{", judged as " + plan.task if plan.task else ", not judged: no task of the room"})')
    began = time.monotonic()
    result: dict[str, Any] = {"success": False}
    try:
        client.keep(log)
        goal = client.instruct(plan.instruction, args.time_limit, args.candidates)
        done_at, truth = _follow(client, goal, log, began)
        _status, answer = goal.result(client.stop_flag, 10.0, "The planning node did not end.")
        truth = truth or client.truth()
        success = done_at is not None if plan.task else bool(answer.success)
        message = answer.message
        if success and not answer.success:
            message = "The task is done; the model had not yet said so."
        result = {
            "success": success, "model_success": bool(answer.success), "message": message,
            "predicted_success": _number(answer.predicted_success),
            "chunks_executed": int(answer.chunks_executed),
            "duration": round(float(answer.duration), 2),
            "done_after": None if done_at is None else round(done_at, 2),
            "progress": round(float(truth.progress), 3),
            "furniture_contacts": int(truth.furniture_contacts)}
    except UserError as error:
        result["message"] = str(error)
    finally:
        traces, accepted = client.traces, client.accepted
        client.keep(None)
        if recording is not None:
            recording.stop()
            if recording.problem:
                say(f"The bag is not complete: {recording.problem}")
    result |= {"instruction": plan.instruction, "scene": args.scene, "task": plan.task,
               "seed": plan.seed, "wall_seconds": round(time.monotonic() - began, 1),
               "folder": str(folder), "model": client.model.checkpoint,
               "timing": timing(traces, accepted, log)}
    log.set_result(**result)
    log.save()
    say(("Success: " if result["success"] else "No success: ") + str(result["message"]))
    return result


def _follow(client: DemoClient, goal: Any, log: Any, began: float) -> tuple[float | None, Any]:
    """Show the stages; ask the simulator for the truth. Returns when it was done, and that.

    :raises UserError: when the planning node is gone, and its answer with it
    """
    done_at: float | None = None
    truth = None
    stage, looked = "", 0.0
    check = planner_check(client)
    while not goal.done:
        check()
        feedback = client.feedback
        now = time.monotonic() - began
        if feedback.stage != stage and feedback.stage in ("executing", "gripping", "verifying"):
            stage = feedback.stage
            log.add_event(time.time(), stage)
        show(f"{now:5.1f} s  {feedback.stage or 'starting':10s} expected success "
             f"{_percent(feedback.imagined_success)}  surprise {_number(feedback.surprise)}")
        if now - looked > 0.4:
            looked = now
            truth = client.truth()
            if truth.success and done_at is None:
                done_at = now
                log.add_event(time.time(), "done")
        if done_at is not None and now - done_at > TRULY_DONE:
            goal.cancel()
            time.sleep(0.2)
        time.sleep(0.1)
    show("")
    if done_at is None:
        limit = time.monotonic() + 0.8
        while time.monotonic() < limit and done_at is None:
            truth = client.truth()
            if truth.success:
                done_at = time.monotonic() - began
            time.sleep(0.1)
    return done_at, truth


def _summary(results: list[dict[str, Any]], seconds: float) -> dict[str, Any]:
    if len(results) == 1:
        return {**results[0], "seconds_in_all": round(seconds, 1)}
    good = sum(bool(r["success"]) for r in results)
    return {"success": good == len(results), "successes": good, "runs": len(results),
            "seconds_in_all": round(seconds, 1), "results": results}


def _short(summary: dict[str, Any]) -> dict[str, Any]:
    return summary if "results" not in summary else {
        **summary, "results": [{k: r.get(k) for k in ("seed", "success", "message")}
                               for r in summary["results"]]}


def _rewrite(path: Path, more: dict[str, Any]) -> None:
    """Add to a run's result.json."""
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | more)


def _report(folder: Path) -> None:
    from wm_ros.report.render import render
    try:
        say(f"Report: {render(folder)}")
    except (UserError, OSError) as error:
        say(f"No report: {error}")


def _number(value: float) -> float | None:
    return round(float(value), 3) if np.isfinite(value) else None


def _percent(value: float) -> str:
    return f"{100.0 * value:3.0f} %" if np.isfinite(value) else "  ? "


def say(text: str) -> None:
    """One line for the user; results alone go to standard output."""
    print(f"demo: {text}", file=sys.stderr, flush=True)


def show(text: str) -> None:
    """A line that is overwritten by the next one, on terminals only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
