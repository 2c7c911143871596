"""What waits for one connection: order, bound, end."""

from __future__ import annotations

import anyio

from sync.server.channel import ChannelOutbox


class Line:
    """A connection that sends one frame whenever it is let."""

    def __init__(self, *, open_: bool = True) -> None:
        self.sent: list[bytes] = []
        self.drained = 0
        self._open = anyio.Event()
        if open_:
            self._open.set()

    def open(self) -> None:
        self._open.set()

    async def send(self, frame: bytes) -> None:
        await self._open.wait()
        self.sent.append(frame)

    def on_drained(self) -> None:
        self.drained += 1


async def test_frames_leave_in_order_until_the_end() -> None:
    outbox, line = ChannelOutbox(), Line()
    for number in range(100):
        outbox.put(b"%d" % number)
    outbox.finish()
    await outbox.drain_to(line.send, line.on_drained)
    assert line.sent == [b"%d" % number for number in range(100)]


async def test_after_the_end_nothing_is_queued() -> None:
    outbox, line = ChannelOutbox(), Line()
    outbox.put(b"last")
    outbox.finish()
    outbox.put(b"too late")
    await outbox.drain_to(line.send, line.on_drained)
    assert line.sent == [b"last"]
    assert outbox.queued_bytes == 0


async def test_full_until_the_frame_on_its_way_has_arrived() -> None:
    """A frame that the socket has not taken is still ours to hold, and counts."""
    outbox, line = ChannelOutbox(max_bytes=10), Line(open_=False)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.drain_to, line.send, line.on_drained)
        outbox.put(b"x" * 10)
        assert not outbox.full
        outbox.put(b"y")
        assert outbox.full
        await anyio.wait_all_tasks_blocked()
        assert (outbox.full, outbox.queued_bytes) == (True, 11)
        line.open()
        await anyio.wait_all_tasks_blocked()
        assert (outbox.full, outbox.queued_bytes, line.drained) == (False, 0, 1)
        outbox.finish()


async def test_what_being_drained_puts_is_sent_without_being_woken() -> None:
    """A slow reader's diff is put by the very call that says it has drained."""
    outbox, line = ChannelOutbox(), Line()

    def one_more() -> None:
        line.on_drained()
        if line.drained == 1:
            outbox.put(b"diff")

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.drain_to, line.send, one_more)
        await anyio.wait_all_tasks_blocked()
        assert (line.sent, line.drained) == ([b"diff"], 2)
        outbox.finish()


async def test_the_end_wakes_an_idle_sender() -> None:
    outbox, line = ChannelOutbox(), Line()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(outbox.drain_to, line.send, line.on_drained)
        await anyio.wait_all_tasks_blocked()
        outbox.finish()
    assert line.sent == []


async def test_waiting_for_an_outbox_to_drain() -> None:
    """Whoever's answers would be too many is answered when these have been read."""
    outbox, line, through = ChannelOutbox(max_bytes=10), Line(open_=False), list[int]()
    async with anyio.create_task_group() as tasks:

        async def wait(number: int) -> None:
            await outbox.drained()
            through.append(number)

        tasks.start_soon(outbox.drain_to, line.send, line.on_drained)
        outbox.put(b"x" * 20)
        for number in range(3):
            tasks.start_soon(wait, number)
        await anyio.wait_all_tasks_blocked()
        assert through == []
        line.open()
        await anyio.wait_all_tasks_blocked()
        assert through == [0, 1, 2]
        outbox.finish()
