# SPDX-License-Identifier: Apache-2.0
"""The tasks, one small file each, found by name: adding a file adds a task."""
from __future__ import annotations

import importlib
import pkgutil

from wm_ros.errors import UserError
from wm_ros.sim.tasks.base import Task


def _discover() -> dict[str, type[Task]]:
    found: dict[str, type[Task]] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        for value in vars(importlib.import_module(f"{__name__}.{module}")).values():
            if isinstance(value, type) and issubclass(value, Task) and value.name:
                found[value.name] = value
    return dict(sorted(found.items(), key=lambda item: (item[1].room, item[0])))


TASKS: dict[str, type[Task]] = _discover()


def task_class(name: str) -> type[Task]:
    """Return the class of a task.

    :raises UserError: when there is no such task; the message lists them.
    """
    if name not in TASKS:
        raise UserError(f"There is no task '{name}'. The tasks are: {', '.join(TASKS)}.")
    return TASKS[name]


def tasks_of(room: str) -> list[str]:
    """Return the names of the tasks of a room."""
    return [name for name, task in TASKS.items() if task.room == room]


__all__ = ["TASKS", "Task", "task_class", "tasks_of"]


def task_names(text: str) -> list[str]:
    """The tasks that ``--tasks`` names: all, home, office, or names with commas.

    :raises UserError: if there is no such task, or none is named
    """
    if text == "all":
        return list(TASKS)
    if text in ("home", "office"):
        return tasks_of(text)
    names = list(dict.fromkeys(task_class(n.strip()).name for n in text.split(",") if n.strip()))
    if not names:
        raise UserError("--tasks names no task: say all, home, office, or names with commas.")
    return names
