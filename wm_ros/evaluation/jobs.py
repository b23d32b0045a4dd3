# SPDX-License-Identifier: Apache-2.0
"""Work in other processes that ends when its command ends, Ctrl-C included."""
from __future__ import annotations

import signal
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from types import TracebackType
from typing import Any

from wm_ros.environment import begin_worker
from wm_ros.errors import UserError


class Workers:
    """``with Workers(2) as workers: for answer in workers.answers([(work, job), ...]): ...``

    An exception that leaves the block, Ctrl-C too, drops what waits and ends what runs at once.
    A Ctrl-C that Python drops, as where it comes in a finaliser, counts at the next answer.

    :param count: processes
    """

    def __init__(self, count: int):
        self._others = set(active_children())
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), begin_worker)
        self._interrupted = False

    def __enter__(self) -> Workers:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def _interrupt(self, *_: Any) -> None:
        self._interrupted = True
        raise KeyboardInterrupt

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._before)
        if kind is not None:
            for process in set(active_children()) - self._others:
                process.terminate()
        self._pool.shutdown(cancel_futures=True)

    def answers(self, calls: Iterable[tuple[Any, ...]], in_order: bool = False) -> Iterator[Any]:
        """The answers of ``calls``, each a function and its arguments.

        :param in_order: as they were called, rather than as they are ready
        :raises UserError: if a process was ended from outside
        """
        futures = [self._pool.submit(*call) for call in calls]
        try:
            for future in futures if in_order else as_completed(futures):
                answer = future.result()
                if self._interrupted:
                    raise KeyboardInterrupt
                yield answer
        except BrokenProcessPool:
            raise UserError("A worker process was ended from outside, often for want of memory: "
                            "run the command again, perhaps with fewer --workers.") from None
