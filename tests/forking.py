"""Several processes of one training, forked from the test, which has imported everything already."""

import os
import socket
import time
import traceback
from collections.abc import Callable

import torch.distributed as dist


def run_forked(function: Callable[[int], None], count: int = 2, seconds: float = 60) -> list[int]:
    """Call ``function`` with the rank in processes of their own; their exit statuses, 99 for an exception."""
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                os.environ.update(
                    RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count),
                    LOCAL_WORLD_SIZE=str(count), MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port),
                )  # fmt: skip
                status = function(rank) or 0
                if dist.is_initialized() and status == 0:
                    dist.barrier()  # the first one has the store of all
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        children.append(pid)
    statuses, end = {}, time.monotonic() + seconds
    while len(statuses) < count:
        for pid in set(children) - set(statuses):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                statuses[pid] = os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
        assert time.monotonic() < end, [os.kill(pid, 9) for pid in children if pid not in statuses]
    return [statuses[pid] for pid in children]
