"""A sweep on a cluster: two real dask workers, one of which is killed in the middle."""

import json
import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from click.testing import CliRunner

from advad.cli.main import main
from advad.experiments import run
from advad.experiments.run_files import STARTS
from advad.experiments.sweep import collected, sweep
from advad.lessons.parameters import SpecError

os.environ.setdefault("DASK_DISTRIBUTED__WORKER__MULTIPROCESSING_METHOD", "forkserver")  # they share their imports
distributed = pytest.importorskip("distributed", reason='needs dask: pip install "advad[cluster]"')
pytestmark = pytest.mark.xdist_group("sweep-cluster")

METHOD = {"method": "AE", "epochs": 150, "widths": [16], "latent_dim": 4}
SPEC = {"seed": [0, 1, 2], "device": "cpu", "data": {"dataset": "digits", "normal": [0, 8]}, "methods": [METHOD]}


@pytest.fixture(scope="module")
def cluster():
    multiprocessing.get_context("forkserver").set_forkserver_preload(
        ["distributed", "sklearn.metrics", "torch._dynamo", run.__name__]
    )
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as found:
        yield found


def test_one_of_two_workers_is_killed_and_every_result_is_there_once(cluster, tmp_path):
    folder = tmp_path / "out"

    def in_flight():
        """Return the worker of a run that was begun and is not finished."""
        for path in folder.glob(f"*/{STARTS}"):
            lines = path.read_text().splitlines()
            if lines and not (path.parent / "results.json").exists():
                return json.loads(lines[0])["pid"]
        return None

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(sweep, SPEC, folder=folder, dask=cluster.scheduler_address, progress=False)
        while (victim := in_flight()) is None:
            wait([running], timeout=0.01)
            assert not running.done(), running.result()
        os.kill(victim, signal.SIGKILL)
        outcomes = running.result()

    assert victim != os.getpid()
    assert [outcome.error for outcome in outcomes] == [""] * 6
    assert len({outcome.run.name for outcome in outcomes}) == 6
    assert {path.parent.name for path in folder.glob("*/results.json")} == {o.run.name for o in outcomes}
    starts = [json.loads(line) for path in folder.glob(f"*/{STARTS}") for line in path.read_text().splitlines()]
    assert 6 < len(starts) <= 6 + 1  # what the killed worker had begun, and nothing else, was begun again
    assert len({start["pid"] for start in starts}) >= 2
    alone = sweep(SPEC, folder=tmp_path / "alone", progress=False)
    assert [o.results["metrics"] for o in alone] == [results["metrics"] for results in collected(folder)]


def test_a_run_that_fails_on_a_worker_is_told(cluster, tmp_path):
    methods = [METHOD | {"epochs": 1}, {"method": "AAE", "epochs": 1, "batch_size": 1}]  # batch norm needs two
    spec = SPEC | {"seed": 0, "methods": methods}
    outcomes = sweep(spec, folder=tmp_path / "out", dask=cluster.scheduler_address, progress=False)
    assert ["give each batch 2 images or more" in outcome.error for outcome in outcomes] == [False, False, True, True]
    assert len(list(Path(tmp_path).glob("out/*/error.txt"))) == 2


def test_workers_of_several_threads_are_refused(tmp_path):
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None, silence_logs=50
        ) as wide,
        pytest.raises(
            SpecError, match="dask must have workers of one thread each; got 2. Start them with --nthreads 1."
        ),
    ):
        sweep(SPEC, folder=tmp_path / "out", dask=wide.scheduler_address, progress=False)
    assert not (tmp_path / "out").exists()


def test_an_unreachable_cluster_is_one_line(tmp_path):
    text = 'device = "cpu"\n[data]\ndataset = "digits"\nnormal = 8\n[[methods]]\nmethod = "AE"\n'
    (tmp_path / "spec.toml").write_text(text)
    spec, out = str(tmp_path / "spec.toml"), str(tmp_path / "out")
    for address in ("tcp://127.0.0.1:9", "nowhere"):
        result = CliRunner().invoke(main, ["sweep", spec, "--out", out, "--dask", address], catch_exceptions=False)
        assert result.exit_code == 2
        assert result.stderr.startswith(
            "advad: sweep: dask must be the address of a running scheduler, such as tcp://h"
        )
        assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
