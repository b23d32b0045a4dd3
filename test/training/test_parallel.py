# SPDX-License-Identifier: Apache-2.0
"""Processes that train together."""
from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

sys.path.insert(0, str(Path(__file__).parent))
from wm_ros.errors import UserError  # noqa: E402
from wm_ros.training import parallel  # noqa: E402

FULL = OSError(errno.ENOSPC, "No space left on device")
LIKEWISE = SafetensorError("I/O error: No space left on device (os error 28)")


def begin(out: Path) -> None:
    """What one process begins with, before and after it agreed with the others, and has after a
    step together."""
    torch.manual_seed(parallel.rank())
    part = torch.nn.Linear(3, 2)
    own = part.weight.detach().clone()
    parallel.alike(part)
    agreed = part.weight.detach().clone()
    # each has a gradient of its own
    (part(torch.ones(1, 3)) * (1 + 2 * parallel.rank())).sum().backward()
    parallel.descend(part, torch.optim.SGD(part.parameters(), 0.1))
    torch.save({"own": own, "agreed": agreed, "then": part.weight.detach()},
               out / f"{parallel.rank()}.pt")


def fail(error: Exception) -> None:
    """The last process fails while the others wait for it."""
    if parallel.rank() == parallel.size() - 1:
        raise error
    parallel.barrier()


def end() -> None:
    """The last process is ended from outside."""
    if parallel.rank() == parallel.size() - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    parallel.barrier()


@pytest.mark.parametrize(("processes", "error", "said"), [
    (1, UserError("Collect more."), "^Collect more.$"), (1, FULL, "disk is full"),
    (2, LIKEWISE, "disk is full")])
def test_what_a_user_can_put_right_is_told_in_one_sentence(processes, error, said):
    with pytest.raises(UserError, match=said):
        parallel.launch(fail, processes, error)


def test_a_mistake_of_the_program_keeps_its_traceback():
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        parallel.launch(fail, 2, ZeroDivisionError())


def test_a_process_that_was_ended_from_outside_is_told_in_one_sentence():
    with pytest.raises(UserError, match="fewer --processes"):
        parallel.launch(end, 2)


def test_no_more_processes_than_a_batch_is_enough_for(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert [parallel.enough(batch) for batch in (4, 48, 512)] == [1, 8, 64]


@pytest.mark.parametrize(("device", "backend", "gpus"), [("cpu", "gloo", []),
                                                         ("cuda", "nccl", [1])])
def test_processes_of_torchrun_meet_on_the_device_that_was_chosen(monkeypatch, device, backend,
                                                                  gpus):
    met, taken = [], []
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(parallel.dist, "init_process_group", lambda name, **_: met.append(name))
    parallel.join(device)
    assert (met, taken) == ([backend], gpus)


def test_processes_begin_with_the_same_numbers_and_step_along_the_mean_gradient(tmp_path):
    parallel.launch(begin, 2, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert not torch.equal(first["own"], second["own"])
    assert torch.equal(first["agreed"], first["own"])
    assert torch.equal(second["agreed"], first["own"])
    assert torch.equal(second["then"], first["then"])
    assert not torch.equal(first["then"], first["agreed"])


def test_a_step_that_is_not_finite_is_left_out():
    part = torch.nn.Linear(2, 1)
    optimizer, before = torch.optim.SGD(part.parameters(), 0.1), part.weight.detach().clone()
    (part(torch.ones(1, 2)) * torch.nan).sum().backward()
    parallel.descend(part, optimizer)
    assert torch.equal(part.weight, before) and part.weight.grad is None


def wait(out: Path) -> None:
    (out / f"{os.getpid()}").touch()
    while True:
        time.sleep(0.1)


def test_the_others_end_with_a_run_that_is_stopped(tmp_path):
    def stop() -> None:
        while len(list(tmp_path.iterdir())) < 2:
            time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGINT)  # the parent alone

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        parallel.launch(wait, 2, tmp_path)
    for child in tmp_path.iterdir():
        with pytest.raises(ProcessLookupError):
            os.kill(int(child.name), 0)
