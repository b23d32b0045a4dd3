# SPDX-License-Identifier: Apache-2.0
"""Writes docs/python_api.md from the docstrings: python -m wm_ros.write_api."""
from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wm_ros.paths import share

PAGE = Path("docs") / "python_api.md"
# Room by room; none of these needs ROS.
MODULES = {
    "World model": ("wm_ros.world_model.interface", "wm_ros.world_model.loading",
                    "wm_ros.world_model.deciding", "wm_ros.world_model.precision",
                    "wm_ros.world_model.ensemble", "wm_ros.world_model.video.model",
                    "wm_ros.world_model.jepa.model", "wm_ros.world_model.scene3d.model"),
    "Evaluation": ("wm_ros.evaluation.closed_loop",),
    "Motion": ("wm_ros.motion.pose", "wm_ros.motion.kinematics", "wm_ros.motion.planner",
               "wm_ros.motion.planning_scene", "wm_ros.motion.cartesian",
               "wm_ros.motion.trajectory", "wm_ros.motion.chunks"),
    "Robot": ("wm_ros.robot", "wm_ros.moveit_config"),
    "Simulation": ("wm_ros.sim.env", "wm_ros.sim.simulator", "wm_ros.sim.rooms",
                   "wm_ros.sim.randomize", "wm_ros.sim.tasks.base"),
    "Data": ("wm_ros.data.episode", "wm_ros.data.lerobot", "wm_ros.data.any_bag"),
    "Errors": ("wm_ros.errors",),
}
FIELD = re.compile(r":(param|return|raises)s?\b ?(\S*?):(?=\s)")
ROLE = re.compile(r":\w+:`~?([^`]+)`")
HEADER = """# Python API

What a notebook or another program uses, without ROS. Written from the code by
`python -m wm_ros.write_api`; do not edit it by hand. Units are SI and radians, quaternions
x y z w, poses in the robot's base frame; see [architecture.md](architecture.md) for the parts and
[ros_names.md](ros_names.md) for the ROS side.

```python
from wm_ros.evaluation.closed_loop import actions, to_observation
from wm_ros.sim.env import TaskEnv
from wm_ros.world_model import load_model

env = TaskEnv("close_drawer", seed=100, split="held_out")
model = load_model("video")
obs = env.observe()
state = model.observe(to_observation(obs))
chunks = model.act(state, env.instruction, n=4)
futures = model.imagine(state, chunks, env.instruction)
for action in actions(chunks, int(futures.success.argmax()), obs.gripper):
    env.step(action)                # 0.1 s each
print(env.progress())
```
"""


def public(module: Any) -> Iterator[tuple[str, Any]]:
    """Classes and functions that a module defines for others, in the order of its text."""
    own = [(name, thing) for name, thing in vars(module).items()
           if not name.startswith("_") and getattr(thing, "__module__", "") == module.__name__
           and (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__doc__]
    yield from sorted(own, key=lambda item: inspect.getsourcelines(item[1])[1])


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    """Documented methods and properties that a class itself defines."""
    for name, member in vars(kind).items():
        call = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if not name.startswith("_") and inspect.isfunction(call) and call.__doc__:
            yield name, member


def signature(name: str, thing: Any) -> str:
    """A call as one writes it, without the types that the text explains."""
    try:
        written = inspect.signature(thing)
    except (TypeError, ValueError):
        return name
    kept = [p.replace(annotation=inspect.Parameter.empty) for p in written.parameters.values()
            if p.name not in ("self", "cls")]
    text = str(written.replace(parameters=kept, return_annotation=inspect.Signature.empty))
    return name + re.sub(r"<(?:class |function )?'?([\w.]+)[^>]*>", r"\1", text)


def sentence(thing: Any) -> str:
    """The first paragraph of a docstring, as one line."""
    return _line(FIELD.split(inspect.cleandoc(thing.__doc__ or ""))[0].split("\n\n")[0])


def fields(thing: Any) -> Iterator[str]:
    """What a docstring says of parameters, result and errors, a line each."""
    _, *found = FIELD.split(inspect.cleandoc(thing.__doc__ or ""))
    for kind, name, text in zip(found[::3], found[1::3], found[2::3], strict=True):
        what = {"param": "", "return": "returns", "raises": "raises "}[kind]
        yield f"{what}{f'`{name}`' if name else ''}: {_line(text)}"


def _line(text: str) -> str:
    return ROLE.sub(r"`\1`", " ".join(text.split()))


def page() -> str:
    """The page as Markdown."""
    parts = [HEADER]
    for room, names in MODULES.items():
        parts.append(f"## {room}\n")
        for name in names:
            module = importlib.import_module(name)
            parts.append(f"### `{name}`\n\n{sentence(module)}\n")
            for label, thing in public(module):
                parts.append(f"- `{signature(label, thing)}`: {sentence(thing)}")
                parts += [f"  - {line}" for line in fields(thing)]
                if inspect.isclass(thing):
                    for member in methods(thing):
                        parts += _member(*member)
            parts.append("")
    return "\n".join(parts).rstrip() + "\n"


def _member(name: str, member: Any) -> Iterator[str]:
    if isinstance(member, property):
        call, written = member.fget, name
    else:
        call = getattr(member, "__func__", member)
        written = signature(name, call)
    yield f"  - `.{written}`: {sentence(call)}"
    yield from (f"    - {line}" for line in fields(call))


def main(path: Path | None = None) -> None:
    """Write the page."""
    path = path or share() / PAGE
    path.write_text(page(), encoding="utf-8")
    print(f"wrote {path}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
