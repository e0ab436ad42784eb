"""A process that is a dask cluster of this machine: its argument is the number of workers, its one line the address.

In a process of its own its logs stay off the terminal, Ctrl-C does not reach it, and all of it can be ended at once:
when standard input ends, whoever started it is gone.
"""

import os
import shutil
import signal
import sys
import tempfile
import threading

WAIT_FOR_RESTART = "1h"  # by default a worker that died is given up after 15 s, which a busy machine needs to start one


def main() -> None:
    """Serve until standard input ends."""
    import dask
    from distributed import LocalCluster

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not look like the address
    scratch = tempfile.mkdtemp(prefix="xmkd-")
    threading.Thread(target=_listen, args=(scratch,), daemon=True).start()
    dask.config.set({"temporary-directory": scratch, "distributed.deploy.lost-worker-timeout": WAIT_FOR_RESTART})
    cluster = LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, dashboard_address=None)
    answers.write(f"{cluster.scheduler_address}\n")
    answers.flush()
    threading.Event().wait()


def _listen(scratch: str) -> None:
    sys.stdin.read()
    shutil.rmtree(scratch, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)  # the dask workers are in our group; what runs there ends when they are gone


if __name__ == "__main__":
    main()
