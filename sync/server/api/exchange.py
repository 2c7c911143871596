"""One HTTP request, until its body is read or thrown away.

An answer can come before the body was read: nobody may do this, the body is too large. Hypercorn
(measured with 0.18) then waits for ever to hand on the rest of it, and a socket that is closed with
unread data takes the answer with it. So the rest is read here, for a while, and thrown away.
"""

from __future__ import annotations

import anyio
from starlette.types import Message, Receive, Send

from sync.server import patience


class Exchange:
    """``receive`` and ``send`` of one request, for the application within."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._read = False  # to its end, or the client has gone
        self._answering = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._read = self._read or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if not self._answering:
            self._answering = True
            with anyio.move_on_after(patience.HOLD_SECONDS):
                await self._discard()
        if self._read:
            await self._send(message)
        else:
            await self._send_beside(message)

    async def _discard(self) -> None:
        while not self._read:
            await self.receive()

    async def _send_beside(self, message: Message) -> None:
        """Send while the body goes on coming."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._discard)
            await self._send(message)
            tasks.cancel_scope.cancel()
