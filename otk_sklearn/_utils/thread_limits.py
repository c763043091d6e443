"""Thread limits of BLAS and OpenMP, shared by concurrent calls."""

import contextlib
import functools
import os
import threading

from threadpoolctl import ThreadpoolController


class _Blas:
    """The thread limit of BLAS, which is global to the process, and its current users.

    Of concurrent users, the last one to release the limit restores the original value. If
    each restored the value that it found itself, one that came second and left last would
    "restore" 1 permanently.

    An interrupt may come between any two steps, so both methods are idempotent: calling
    one again completes a call that was interrupted.
    """

    def __init__(self):
        self._lock = threading.RLock()
        self._users = {}
        self._before = None
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._lock.acquire,
                after_in_parent=self._lock.release,
                after_in_child=self._reset_after_fork,
            )

    def limit(self, user):
        """Limit BLAS to one thread until this user releases it."""
        with self._lock:
            self._users[user] = threading.get_ident()
            if self._before is None:
                self._before = _controller("blas").limit(limits=None)  # changes nothing
            _controller("blas").limit(limits=1)
            _allow_other_threads()

    def release(self, user):
        """Restore the limit, if nobody else holds it."""
        with self._lock:
            self._users.pop(user, None)
            if not self._users and self._before is not None:
                self._before.restore_original_limits()
                _allow_other_threads()
                self._before = None

    def _reset_after_fork(self):
        """Remove the users of other threads, which do not exist in the child of a fork."""
        own = threading.get_ident()
        self._users = {user: of for user, of in self._users.items() if of == own}
        self._lock.release()
        self.release(None)


class _OpenMP(threading.local):
    """The thread limit of OpenMP, which is local to each thread, and its current users.

    As with BLAS, the last user restores the original value: after an interrupt at the very
    end of an inner context, it is closed only after the outer one.
    """

    def __init__(self):
        self._users, self._before = set(), None

    def limit(self, user):
        """Limit OpenMP to one thread, in this thread, until this user releases it."""
        self._users.add(user)
        if self._before is None:
            self._before = _controller("openmp").limit(limits=None)
        _controller("openmp").limit(limits=1)

    def release(self, user):
        """Restore the limit, if nobody else holds it."""
        self._users.discard(user)
        if not self._users and self._before is not None:
            self._before.restore_original_limits()
            self._before = None


def _allow_other_threads():
    """Allow other threads to change the limits of BLAS.

    From version 3.8, threadpoolctl reserves the limits of OpenBLAS for the thread that set
    them last, until that thread exits a limit's context; others are silently ignored.
    """
    with _controller("blas").limit(limits=None):
        pass


@functools.cache
def _controller(user_api):
    return ThreadpoolController().select(user_api=user_api)


_blas, _openmp = _Blas(), _OpenMP()


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
