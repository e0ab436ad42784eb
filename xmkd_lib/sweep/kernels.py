"""How papermill executes a run's notebook: in a forked kernel where that is possible, and with bounded outputs."""

import json
import os
import signal
import tempfile
from multiprocessing.process import BaseProcess
from typing import Any

from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.log import logger
from traitlets import CaselessStrEnum

from xmkd_lib.sweep import forks
from xmkd_lib.sweep.forks import ending

MOST_OUTPUT = 20_000_000  # characters of a notebook's outputs; what is printed beyond would fill memory and disk


class Kernels(AsyncKernelManager):
    """Kernels that talk through files: ports of kernels started at one moment may collide, and others can listen."""

    transport = CaselessStrEnum(["tcp", "ipc"], default_value="ipc")


class ForkedKernels(Kernels):
    """A kernel as a fork of the server of `forks`; otherwise like any other."""

    async def _async_pre_start_kernel(self, **kwargs: Any) -> Any:
        self.provisioner = _ForkingProvisioner(kernel_id="", kernel_spec=self.kernel_spec, parent=self)
        return await super()._async_pre_start_kernel(**kwargs)

    pre_start_kernel = _async_pre_start_kernel


class _ForkingProvisioner(LocalProvisioner):
    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> Any:
        arguments = cmd[cmd.index("ipykernel_launcher") + 1 :]
        self.process = _Kernel(forks.kernel(arguments, kwargs["env"], kwargs.get("cwd")))
        self.pid = self.pgid = self.process.pid
        return self.connection_info


class _Kernel:
    """A forked process with the part of Popen's interface that a provisioner uses."""

    stdin = stdout = stderr = None

    def __init__(self, process: BaseProcess):
        process.start()
        self.process, self.pid = process, process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self) -> int | None:
        self.process.join()
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Client(PapermillNotebookClient):
    """papermill's client, which drops what a notebook prints beyond `MOST_OUTPUT` and says how a dead kernel ended."""

    room = MOST_OUTPUT

    def output(self, outs: list, msg: dict[str, Any], display_id: str | None, cell_index: int) -> Any:
        """Keep an output, or of what is too much one line that says so."""
        content = msg["content"]
        parts = [content.get("text", ""), *content.get("data", {}).values()]
        had_room = self.room > 0
        self.room -= sum(len(part) if isinstance(part, str) else len(json.dumps(part)) for part in parts)
        if self.room > 0 or msg["msg_type"] == "error":
            return super().output(outs, msg, display_id, cell_index)
        if not had_room:
            return None
        content = {"name": "stderr", "text": f"\n[Output beyond {MOST_OUTPUT:,} characters is left out.]\n"}
        header = {**msg["header"], "msg_type": "stream"}
        return super().output(
            outs, {**msg, "header": header, "msg_type": "stream", "content": content}, None, cell_index
        )

    def execute_cell(self, cell: Any, cell_index: int, **kwargs: Any) -> Any:
        """Execute a cell. DeadKernelError with the signal or exit code where the kernel ends meanwhile."""
        try:
            return super().execute_cell(cell, cell_index, **kwargs)
        except DeadKernelError:
            raise DeadKernelError(f"the kernel ended {ending(self.km.provisioner.process.poll())}") from None


class Engine(NBClientEngine):
    """papermill's engine with `Client`, and a forked kernel where `forked`."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, forked: bool = False, **_: Any) -> None:
        """Execute the notebook of `nb_man` in a new kernel."""
        with tempfile.TemporaryDirectory(prefix="xmkd-") as place:  # of the kernel's sockets, whose paths must be short
            kernels = ForkedKernels if forked else Kernels
            transport = "ipc" if forks.sockets_fit() else "tcp"
            manager = kernels(kernel_name=kernel_name, connection_file=f"{place}/kernel.json", transport=transport)
            Client(nb_man, manager, log=logger, startup_timeout=120).execute(cleanup_kc=True)


papermill_engines.register("xmkd", Engine)
