"""The side-by-side benchmark: draftsync and what a user would otherwise run.

``make bench`` (or ``python -m tests.bench``) starts every server as its users run it, one after the
other, pinned to one core, and loads it from another. It reads from the inside out:

- ``updates`` and ``edits``: what a Yjs update brings, and a form being filled in;
- ``counting``: who has received what, and the failure when something is missing;
- ``frames``, ``dialects``, ``client``: bytes on the wire, and the connections that carry them;
- ``feed``, ``evaluators``, ``together``: one who writes without pause, many who type, everybody;
- ``process`` and ``servers``: cores, CPU time, memory; what is compared and how it is started;
- ``scenario``, ``scenarios/``, ``catalogue``: the questions, one module each, with their targets;
- ``running``, ``report``, ``machine``, ``__main__``: rounds, tables, and where they go.

What was chosen. A writer is never more than 256 edits ahead of its slowest reader: of 128 to 2,048
that is where Hocuspocus and y-websocket are at or near their best. Every edit that the window lets
go at one moment is one write to the socket. CPU is counted until the server is idle again, for some
write to disk later, but for at most 8 seconds more. Connections are opened 256 at a time. Clients
wait for the answer to their step1 before they write. Readers check every frame that they get for
gaps. The load takes its own share of CPU down with each figure.
"""
