"""Threads with a deep stack: results, failures, and nobody else's stack changed."""

from __future__ import annotations

import threading

import pytest

from sync.core.crdt import Replica
from sync.core.wire import encode_uint
from sync.server.deep_stack import run_deep, start_deep

DEPTH = 60_000
"""More than twice what overflows a stack of 8 MiB."""


def nested(levels: int) -> bytes:
    """An update whose maps nest so deep, each an item of the one around it."""
    outermost = b"\x07\x01\x04root\x01"  # a type, a map, in the root "root"
    inner = (b"\x27\x00\x07" + encode_uint(n) + b"\x01k\x01" for n in range(levels - 1))
    return b"\x01" + encode_uint(levels) + b"\x07\x00" + outermost + b"".join(inner) + b"\x00"


def test_it_returns_what_the_function_does() -> None:
    assert run_deep(lambda: 42) == 42


class Odd(BaseException):
    """What native code raises is no Exception either."""


@pytest.mark.parametrize("error", [ValueError("no"), Odd("no")])
def test_it_raises_what_the_function_does(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        run_deep(fail)
    assert raised.value is error


def test_a_document_far_too_deep_for_a_usual_stack() -> None:
    """The process would be gone if this went wrong: a stack that overflows raises nothing."""

    def load_and_delete() -> int:
        replica = Replica(nested(DEPTH))
        loaded = len(replica.encode())
        replica.apply(b"\x00\x01\x07\x01\x00\x01")  # deletes the outermost, and all within
        return loaded

    assert run_deep(load_and_delete) > DEPTH


def test_other_threads_keep_their_stack() -> None:
    before = threading.stack_size()
    start_deep(lambda: None, "deep").join()
    assert threading.stack_size() == before


def test_it_does_not_keep_the_process_alive() -> None:
    forever = threading.Event()
    thread = start_deep(forever.wait, "deep")
    assert thread.daemon
    forever.set()
    thread.join()
