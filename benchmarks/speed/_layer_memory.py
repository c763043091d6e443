"""Memory of a call that returns tensors, whatever library allocates it."""

import ctypes
import gc
from pathlib import Path

import torch


def extra_memory(function):
    """Peak of resident memory in a call, beside the tensors that it returns, in bytes.

    What libraries keep from call to call, such as buffers of matrix products, is not
    counted. Needs Linux, and a process that gives large arrays that it frees back to the
    system.
    """
    function()
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # also what is below the threshold of the process
    Path("/proc/self/clear_refs").write_text("5")  # starts a new peak
    before = _resident("VmRSS")
    results = function()
    peak = _resident("VmHWM")
    return peak - before - sum(result.nbytes for result in results)


def extra_memory_on_cuda(function):
    """Peak of memory on the device, as `extra_memory`, by PyTorch's own count."""
    function()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    results = function()
    peak = torch.cuda.max_memory_allocated()
    return peak - before - sum(result.nbytes for result in results)


def _resident(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)
