"""The half that decides: bytes and times in, actions out. No socket, clock, task, log or await."""
