"""What importing the package does, and does not do."""

import subprocess
import sys


def test_import_compiles_nothing_and_imports_no_optional_package():
    code = """
import sys, numba.core.registry
from otk_sklearn import display
from otk_sklearn._compiled import features, implicit_gradient, pooling, primitives, sinkhorn
dispatcher = numba.core.registry.CPUDispatcher
compiled = [f for m in (features, implicit_gradient, pooling, primitives, sinkhorn)
            for f in vars(m).values() if isinstance(f, dispatcher)]
print(len(compiled) > 3, sum(len(f.signatures) for f in compiled))
optional = ["ot", "torch", "matplotlib", "sktime", "awkward", "polars"]
print([m for m in optional if m in sys.modules])
"""
    process = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert process.stdout == "True 0\n[]\n"
