"""Threads whose stack is deep enough for any document.

The CRDT library walks nested types by recursion; a stack of 8 MiB overflows, and with it the
process, at some 26,000 levels. A document of 16 MiB holds at most 2.4 million: measured, they fit
into 512 MiB (which the system only gives as it is touched).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

_R = TypeVar("_R")

STACK_BYTES = 512 * 2**20

_starting = threading.Lock()  # threading.stack_size is one for the whole process


def start_deep(target: Callable[[], object], name: str) -> threading.Thread:
    """Start a daemon thread with the deep stack."""
    with _starting:
        usual = threading.stack_size(STACK_BYTES)
        try:
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
        finally:
            threading.stack_size(usual)
    return thread


def run_deep(function: Callable[[], _R]) -> _R:
    """Call a function on a deep stack; wait, and return or raise what it does."""
    result: list[_R] = []
    failure: list[BaseException] = []

    def call() -> None:
        try:
            result.append(function())
        except BaseException as error:  # noqa: BLE001 - carried over to the caller, whatever it is
            failure.append(error)

    start_deep(call, "draftsync-deep").join()
    if failure:
        raise failure[0]
    return result[0]
