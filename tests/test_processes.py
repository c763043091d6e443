"""Threads, processes and interrupts: no wrong answer, no deadlock, nothing left behind.

Each case of `process_cases.py` runs in a process of its own, which has a limit of time.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import otk_sklearn

pytestmark = pytest.mark.xdist_group("serial")

CASES = Path(__file__).with_name("process_cases.py")
LIMIT = 240  # seconds, of which nearly all is for compiling on a slow machine

# A fork beside threads is what is tested here; Python 3.12 and newer warn of it.
OPTIONS = "-W", "error", "-W", "ignore:.*fork:DeprecationWarning"


def start(name, *arguments, **environment):
    return subprocess.Popen(
        [sys.executable, *OPTIONS, CASES, name, *map(str, arguments)],
        env={
            **os.environ,
            "OPENBLAS_NUM_THREADS": "2",
            "OMP_NUM_THREADS": "2",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process):
    """Return what the process printed."""
    try:
        out, error = process.communicate(timeout=LIMIT)
    finally:
        process.kill()
    assert process.returncode == 0, error
    return out


def run(name, *arguments, **environment):
    return finish(start(name, *arguments, **environment))


def run_each(*cases):
    """Run cases one after the other in one process."""
    return run(*" , ".join(cases).split())


NAMES = ["embedding", "classifier", "regressor", "elements", "layer"]


@pytest.mark.slow
def test_eight_threads_share_an_estimator():
    run_each(*(f"threads {name} 3" for name in NAMES))


@pytest.mark.slow
def test_a_call_sees_one_fit_whenever_another_takes_place():
    run_each(*(f"a_fit_amid_calls {name} 5" for name in NAMES))


@pytest.mark.slow
def test_a_fit_is_seen_whole_or_not_at_all():
    run_each(*(f"a_call_amid_fits {name} 5" for name in NAMES))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
def test_joblib_inside_and_outside(backend):
    run("joblib_backend", backend)


@pytest.mark.slow
def test_searches_within_a_search():
    run("nested_search")


def test_fork_after_fit():
    run("fork_after_fit")


@pytest.mark.slow
def test_fork_while_others_hold_the_limit():
    run("fork_amid_transforms", 15)
    run("fork_while_holding_the_limit")


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_interrupts_at_every_kind_of_moment(n_jobs):
    calls = [
        "embedding fit",
        "embedding fit_transform",
        "embedding transform",
        "classifier fit",
        "classifier partial_fit",
        "regressor predict",
        "elements fit",
        "layer fit",
        "layer transform",
    ]
    run_each(*(f"interrupts {call} {n_jobs} 20" for call in calls))


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_signals(n_jobs):
    run_each(*(f"signals embedding {call} {n_jobs} 25" for call in ["fit", "transform"]))


@pytest.mark.slow
def test_cache_faults(tmp_path):
    run("cache_faults", tmp_path)


@pytest.mark.slow
def test_two_processes_compile_into_one_cache(tmp_path):
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    both = [start("use", dtype, **cache) for dtype in ["float64", "float32"]]
    alone = [finish(process) for process in both]
    assert run("use", "float64", "float32", **cache) == "".join(alone)
    assert [*tmp_path.rglob("*.nbi")]


@pytest.mark.slow
def test_package_folder_and_home_that_cannot_be_written(tmp_path):
    """Files where numba would make folders: permissions do not keep root from writing."""
    source = Path(otk_sklearn.__file__).parent
    package = tmp_path / "packages" / "otk_sklearn"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "_compiled" / "__pycache__").write_text("")
    (tmp_path / "home").write_text("")
    environment = {"PYTHONPATH": str(package.parent), "HOME": str(tmp_path / "home")}
    for name in ["NUMBA_CACHE_DIR", "XDG_CACHE_HOME"]:
        environment[name] = str(tmp_path / "home" / "none")
    assert run("use", "float64", **environment) == run("use", "float64")
    assert not [*tmp_path.rglob("*.nb?")]
