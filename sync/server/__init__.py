"""The half that does: sockets, disk and time around the machines of :mod:`sync.core`."""
