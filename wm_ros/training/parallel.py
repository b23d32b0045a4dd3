# SPDX-License-Identifier: Apache-2.0
"""Data-parallel training: one process a core (gloo), or under torchrun, one a GPU (nccl).

On a CPU, processes of one thread each that meet once a step lose far less to a busy machine
than threads that meet in every operator.
"""
from __future__ import annotations

import os
import re
import signal
import socket
import traceback
import zlib
from collections.abc import Callable
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.queues import SimpleQueue
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from safetensors import SafetensorError
from torch import nn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from wm_ros.environment import end_with_parent
from wm_ros.errors import UserError, explain

LONG = timedelta(days=1)  # the others may wait so for the first one, which prepares the data
Failure = tuple[str | None, str]  # of a process: a sentence for the user, the traceback
FEW = 6  # samples of a batch that a process should have, for shares of them are drawn


def join(device: str) -> None:
    """Meet the others if torchrun started us.

    :param device: ``cpu`` or ``cuda``, that all train on
    """
    if "RANK" not in os.environ or dist.is_initialized():
        return
    if device == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if device == "cuda" else "gloo", timeout=LONG)


def enough(batch: int) -> int:
    """How many processes a CPU should train by: one a core, while a batch is enough for them."""
    return max(1, min(os.cpu_count() or 1, batch // FEW))


def launch(work: Callable[..., None], processes: int, *args: Any) -> None:
    """Run ``work(*args)`` in ``processes`` processes; here itself if it is one, or if
    torchrun started us.

    :raises UserError: the first of them said so, the disk is full, or one was ended from outside
    """
    if processes <= 1 or "RANK" in os.environ:
        try:
            work(*args)
        except Exception as error:
            if told := _sentence(error):
                raise UserError(told) from error
            raise
        return
    # glibc gives large blocks back to the kernel and gets them again, zeroed, at every step
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold="
                          "4294967296:glibc.malloc.mmap_threshold=1073741824")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    failures: SimpleQueue[Failure] = get_context("spawn").SimpleQueue()
    context = torch.multiprocessing.spawn(_child, (processes, port, failures, work, args),
                                          nprocs=processes, join=False)
    try:
        while not context.join():
            pass
    except (ProcessRaisedException, ProcessExitedException):
        told, trace = (None, "") if failures.empty() else failures.get()
        if told:
            raise UserError(told) from None
        if any(process.exitcode == -signal.SIGKILL for process in context.processes):
            raise UserError("A training process was ended from outside, often for want of "
                            "memory: run the command again, perhaps with fewer "
                            "--processes.") from None
        if trace:
            raise RuntimeError(f"A training process failed:\n{trace}") from None
        raise
    finally:  # whatever ended this one: none of them trains on alone
        for process in context.processes:
            process.terminate()
            process.join()


def _child(rank: int, size: int, port: int, failures: SimpleQueue[Failure],
           work: Callable[..., None], args: tuple) -> None:
    end_with_parent()
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=size,
                            timeout=LONG)
    try:
        work(*args)
    except Exception as error:
        # before the others lose this one, and fail for that
        failures.put((_sentence(error), traceback.format_exc()))
        raise
    finally:
        dist.destroy_process_group()


def _sentence(error: Exception) -> str | None:
    """What to tell of an error that is not the program's own, else None."""
    if isinstance(error, SafetensorError) and (number := re.search(r"os error (\d+)", str(error))):
        error = OSError(int(number[1]), os.strerror(int(number[1])))
    return known[0] if (known := explain(error)) else None


def rank() -> int:
    """Number of this process; 0 writes files and shows progress."""
    return dist.get_rank() if dist.is_initialized() else 0


def size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share(batch: int) -> int:
    """How many of a batch's samples are this process's."""
    return max(1, batch // size())


def seed_of(seed: int, stage: str, step: int) -> int:
    """A seed that no other process, stage or resumption of a run has, nor a run with another."""
    words = np.random.SeedSequence((seed, rank(), zlib.crc32(stage.encode()), step))
    return int(words.generate_state(1)[0])


def barrier() -> None:
    """Wait for the others."""
    if dist.is_initialized():
        dist.barrier()


def alike(module: nn.Module) -> None:
    """Give the module in every process the first one's numbers: they begin from other seeds."""
    if size() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def average_gradients(module: nn.Module) -> None:
    """Mean of the gradients over the processes, in one message of bfloat16."""
    if size() == 1:
        return
    # a parameter may be unused in one process's batch: all must send the same list
    parameters = [p for p in module.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    flat = torch.cat([g.flatten() for g in gradients]).bfloat16()
    dist.all_reduce(flat)
    flat = flat.float() / size()
    at = 0
    for p in parameters:
        p.grad = flat[at:at + p.numel()].view_as(p)
        at += p.numel()


def descend(module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One step along the gradients of all processes, which are clipped to length 1 and cleared; a
    batch whose gradient is not finite is left out."""
    average_gradients(module)
    if torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0).isfinite():
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)


def agree(value: bool) -> bool:
    """Whether any process says so (asked of all at the same step)."""
    if size() == 1:
        return value
    flag = torch.tensor(float(value), device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(flag, dist.ReduceOp.MAX)
    return bool(flag)
