"""How the cells of a lesson are executed: by papermill, with this interpreter; an error in a widget fails the cell.

Two things differ from papermill's own way:

- The kernel is started with `sys.executable` and this copy of advad, whatever kernels are installed.
- An `ipywidgets.Output` swallows an exception in a widget's callback. Here it comes out into the cell, so that the
  run fails. And nothing is sent back to the kernel: nbclient 0.11 does so in the middle of a cell, after which the
  cell's reply is lost now and then, and the run hangs (measured: in 8 of 11 runs of 40 cells with `interact`).
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import papermill
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbclient.output_widget import OutputWidget
from nbformat import NotebookNode
from nbformat.v4 import output_from_msg
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, papermill_engines

from advad.environment import UNATTENDED, import_folder

# Plotly imports jsonschema, which compiles a grammar of internationalised addresses at its import: a second in every
# kernel. Where the grammar is not found, jsonschema goes on without a check that no lesson asks for.
LAUNCHER = """
import sys
sys.modules["rfc3987_syntax"] = None
from ipykernel.kernelapp import launch_new_instance
launch_new_instance()
"""


def waiting_threads() -> dict[str, str]:
    """Return the environment in which a kernel's idle threads sleep instead of spinning.

    OpenMP's threads spin while they wait for each other. On a machine with other work (a second kernel, a browser),
    that keeps the core from the very thread that is waited for: small networks trained 3 to 6 times as fast with
    sleeping threads (AAE on digits, two threads on two cores at load 6, n = 3, interleaved).
    """
    return {"OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}


class ThisInterpreter(AsyncKernelManager):
    """Starts kernels with `sys.executable` and this copy of advad; installed kernel specifications do not matter."""

    @property
    def kernel_spec(self) -> KernelSpec:
        """A specification that is written nowhere."""
        environment = {UNATTENDED: "1", "JUPYTER_PLATFORM_DIRS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        environment |= waiting_threads()
        if import_folder().name != "site-packages":  # a checkout, installed or not
            paths = [str(import_folder()), os.environ.get("PYTHONPATH")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        command = [sys.executable, "-c", LAUNCHER, "-f", "{connection_file}", "--log-level=ERROR"]
        return KernelSpec(argv=command, env=environment, language="python", display_name="Python 3")


class Panel(OutputWidget):
    """Stands in for an Output widget: what is shown in it stays in it, but an error comes out into the cell."""

    def output(self, outs: list[NotebookNode], msg: dict[str, Any], display_id: str | None, cell_index: int) -> None:
        """Pass errors on, and keep the rest."""
        if msg["msg_type"] == "error":
            outs.append(output_from_msg(msg))

    def clear_output(self, outs: list[NotebookNode], msg: dict[str, Any], cell_index: int) -> None:
        """Leave the cell's own outputs alone."""


class Client(PapermillNotebookClient):
    """papermill's client with :class:`Panel` for Output widgets."""

    def __init__(self, *arguments: Any, **settings: Any):
        super().__init__(*arguments, **settings)
        self.widget_registry = {"@jupyter-widgets/output": {"OutputModel": Panel}}


class LessonEngine(Engine):
    """papermill's engine with :class:`Client` and :class:`ThisInterpreter`."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, timeout: int, home: Path, **settings: Any
    ) -> NotebookNode:
        """Run the cells; papermill keeps the notebook on disk up to date meanwhile."""
        client = Client(
            nb_man,
            kernel_name=kernel_name,
            kernel_manager_class=ThisInterpreter,
            timeout=timeout,
            startup_timeout=120,
            store_widget_state=False,  # megabytes, of use only to a live kernel
            shutdown_kernel="immediate",  # everything is written, and an orderly shutdown takes seconds
            resources={"metadata": {"path": str(home)}},  # the kernel's working folder
            log=logging.getLogger("papermill"),
        )
        return client.execute()


papermill_engines.register("advad", LessonEngine)
logging.getLogger("papermill").setLevel(logging.ERROR)  # it warns of parameters that it does not know


def execute(
    notebook: NotebookNode, target: Path, *, parameters: Mapping[str, Any], home: Path, timeout: int, progress: bool
) -> str:
    """Run a notebook and save it, whatever happens; return what went wrong in one line, or "".

    Parameters
    ----------
    notebook : NotebookNode
    target : Path
        The executed copy.
    parameters : mapping of str to scalar
        Written into a cell of their own after the one tagged `parameters`.
    home : Path
        The kernel's working folder.
    timeout : int
        Seconds that one cell may take.
    progress : bool
        Whether a bar counts the cells.
    """
    bar: Any = {"desc": target.stem} if progress else False  # papermill's annotation knows only bool
    try:
        papermill.execute_notebook(
            notebook,  # type: ignore[arg-type]
            str(target).replace("{", "{{").replace("}", "}}"),  # papermill fills in its paths
            parameters=dict(parameters),
            engine_name="advad",
            kernel_name="python3",
            language="python",
            progress_bar=bar,
            timeout=timeout,
            home=home,
        )
    except papermill.PapermillExecutionError as error:
        return f"cell [{error.exec_count}] failed with {_first_line(f'{error.ename}: {error.evalue}')}"
    except CellTimeoutError:
        return f"a cell took more than {timeout} s"
    except (DeadKernelError, RuntimeError) as error:
        return f"the kernel died ({_first_line(error)}); there may be too little memory"
    return ""


def _first_line(text: object) -> str:
    return str(text).strip().partition("\n")[0].rstrip(". ")
