"""What `show_versions` prints is what other tools tell of the same process."""

import importlib.metadata
import platform
import subprocess
import sys

import threadpoolctl

import otk_sklearn


def entries_of(text):
    """The lines "name: value", also of names that come twice."""
    return [line.strip().split(": ", 1) for line in text.splitlines() if ": " in line]


def test_versions_are_those_of_the_installed_packages(capsys):
    otk_sklearn.show_versions()
    found = dict(entries_of(capsys.readouterr().out))
    assert found["otk-sklearn"] == otk_sklearn.__version__
    assert found["python"].startswith(platform.python_version())
    for name in ["numpy", "scipy", "scikit-learn", "numba", "pot", "threadpoolctl"]:
        assert found[name] == importlib.metadata.version(name)


def test_kernels_and_threads_of_every_library_are_told(capsys):
    with threadpoolctl.threadpool_limits(1):
        otk_sklearn.show_versions()
        loaded = threadpoolctl.threadpool_info()
    found = entries_of(capsys.readouterr().out)
    assert loaded
    for library in loaded:
        for name in library:
            assert [name, str(library[name])] in found
    assert found.count(["num_threads", "1"]) == len(loaded)


SHOW = """
import sys
from otk_sklearn import show_versions
show_versions()
print([name for name in ("torch", "matplotlib", "ot") if name in sys.modules])
"""


def test_the_folder_of_the_cache_is_told_and_nothing_imported(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    folder = dict(entries_of(done.stdout))["cache"]
    assert folder.startswith(str(tmp_path))
    assert done.stdout.endswith("[]\n")
