"""Dead letters of webhooks, sent once more: by the service, or by a command without it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from persistence.store import DeadLetter, Store
from sync.core.events import iso
from sync.core.webhook import Answer, Taken, Webhook, decide, reason_of
from sync.server.webhook_consumer import REAL, Post, Timing, read_notice, send

MOST_LETTERS = 100
MOST_SECONDS = 10.0
"""How many one call sends, and how long it begins new ones."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters; None is all of them."""

    consumer: str | None = None
    session: str | None = None
    offset: int | None = None

    def has(self, letter: DeadLetter) -> bool:
        return (
            self.consumer in (None, letter.consumer)
            and self.session in (None, letter.session)
            and self.offset in (None, letter.offset)
        )


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of sending dead letters once more."""

    delivered: int
    failed: tuple[DeadLetter, ...]  # each with the new reason; they stay
    left: int  # that were selected, and not tried: call again


class Replay:
    """Sends dead letters once more, with the service up or down."""

    def __init__(
        self, store: Store, webhooks: Sequence[Webhook], post: Post, timing: Timing = REAL
    ) -> None:
        self._store = store
        self._webhooks = {each.name: each for each in webhooks}
        self._post = post
        self._timing = timing
        self._lock = anyio.Lock()

    async def __call__(self, selection: Selection) -> Replayed:
        """Try each of them once, by session in order; those that are taken are forgiven.

        Where one fails, those behind it of the same session are not tried, and where no answer
        came, none of the same receiver. Of many, a part is tried. Raises StoreError.
        """
        async with self._lock:
            letters = [
                each
                for each in await self._store.dead_letters(selection.consumer)
                if selection.has(each)
            ]
            letters.sort(key=lambda letter: (letter.consumer, letter.session, letter.offset))
            return await self._replay(letters)

    async def _replay(self, letters: Sequence[DeadLetter]) -> Replayed:
        delivered = tried = 0
        failed: list[DeadLetter] = []
        closed: set[tuple[str, str | None]] = set()  # where one has failed
        until = self._timing.now() + MOST_SECONDS
        for letter in letters:
            if tried >= MOST_LETTERS or self._timing.now() >= until:
                break
            if closed & {(letter.consumer, letter.session), (letter.consumer, None)}:
                continue
            tried += 1
            answer = await self._send(letter)
            if answer is None:
                failed.append(replace(letter, reason="retention removed the event"))
            elif isinstance(decide(answer, 1, 1, 0.0, 0.0), Taken):
                await self._store.forgive([letter])
                delivered += 1
            else:
                failed.append(replace(letter, reason=reason_of(answer)))
                closed.add((letter.consumer, letter.session if answer.status else None))
        return Replayed(delivered, tuple(failed), len(letters) - tried)

    async def _send(self, letter: DeadLetter) -> Answer | None:
        """Send it once; None when there is nothing to send any more."""
        webhook = self._webhooks.get(letter.consumer)
        if webhook is None:
            return Answer(None, "no webhook of this name is configured")
        stored = await self._store.session(letter.session)
        epoch = stored.current.epoch if stored else ""
        notice = await read_notice(self._store, letter.session, epoch, letter.offset)
        if notice is None:
            return None
        return await send(webhook, notice, self._post, self._timing)


# -- as they are told outside


def replayed_json(replayed: Replayed) -> dict[str, Any]:
    """What came of a replay, as JSON."""
    return {
        "delivered": replayed.delivered,
        "failed": [letter_json(each) for each in replayed.failed],
        "left": replayed.left,
    }


def letter_json(letter: DeadLetter) -> dict[str, Any]:
    """A dead letter, as JSON."""
    return {
        "consumer": letter.consumer,
        "session": letter.session,
        "offset": letter.offset,
        "reason": letter.reason,
        "time": iso(letter.time),
    }
