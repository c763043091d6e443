"""Thread limits of BLAS and OpenMP, shared by concurrent calls."""

import contextlib
import functools
import os
import threading

from threadpoolctl import ThreadpoolController


class _ThreadLimit:
    """The thread limit of BLAS or OpenMP, and its current users.

    Of several users, the last one to release the limit restores the original value. If each
    restored the value that it found itself, one that came second and left last would
    "restore" 1 permanently.

    An interrupt may come between any two steps, so both methods are idempotent: calling
    one again completes a call that was interrupted.

    Parameters
    ----------
    user_api : {"blas", "openmp"}
    """

    def __init__(self, user_api):
        self._user_api, self._users, self._before = user_api, {}, None

    def limit(self, user):
        """Limit the API to one thread until this user releases it."""
        self._users[user] = threading.get_ident()
        libraries = _controller(self._user_api).lib_controllers
        if self._before is None:
            before = [library.get_num_threads() for library in libraries]
            self._before = before
            # Those that have one thread already need no call, which takes microseconds.
            libraries = [lib for lib, n in zip(libraries, before) if n != 1]
        _set_num_threads(libraries, [1] * len(libraries))

    def release(self, user):
        """Restore the limit, if nobody else holds it."""
        self._users.pop(user, None)
        if not self._users and self._before is not None:
            libraries = _controller(self._user_api).lib_controllers
            changed = [(lib, n) for lib, n in zip(libraries, self._before) if n != 1]
            for library, n in changed:
                _set_num_threads([library], [n])
            self._before = None


class _SharedLimit(_ThreadLimit):
    """A limit that is global to the process."""

    def __init__(self, user_api):
        super().__init__(user_api)
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._reset_after_fork,
            )

    def limit(self, user):
        with self._lock:
            super().limit(user)

    def release(self, user):
        with self._lock:
            super().release(user)

    def _reset_after_fork(self):
        """Remove the users of other threads, which do not exist in the child of a fork."""
        own = threading.get_ident()
        self._users = {user: of for user, of in self._users.items() if of == own}
        self._lock.release()
        self.release(None)


class _LocalLimit(threading.local, _ThreadLimit):
    """A limit that is local to each thread.

    It has several users after an interrupt at the very end of an inner context, which is
    then closed only after the outer one.
    """


def _set_num_threads(libraries, limits):
    for library, limit in zip(libraries, limits):
        library.set_num_threads(limit)
        # From version 3.8, threadpoolctl reserves the limits of OpenBLAS for the thread
        # that set them first; those set by others would be silently ignored.
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread()


@functools.cache
def _controller(user_api):
    return ThreadpoolController().select(user_api=user_api)


_blas, _openmp = _SharedLimit("blas"), _LocalLimit("openmp")


@contextlib.contextmanager
def single_threaded():
    """Limit BLAS and OpenMP to one thread.

    Work is parallelized over chunks instead; and a single thread always sums in the same
    order, so that results don't depend on `n_jobs`.
    """
    user = object()

    def restore():
        _openmp.release(user)
        _blas.release(user)

    try:
        _blas.limit(user)
        _openmp.limit(user)
        yield
    finally:
        try:
            restore()
        except BaseException:  # an interrupt, which comes once
            restore()
            raise
