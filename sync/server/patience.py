"""How long the service waits, in seconds: for silent clients, and for its own end."""

HANDSHAKE_SECONDS = 10.0
"""For the head of a first request; TLS has as long before it."""

PING_SECONDS = 20.0
"""A client of which nothing came for so long is pinged."""

HEARTBEAT_SECONDS = 25.0
"""Between two pings of the event channel, which are messages of its own."""

SILENCE_SECONDS = 60.0
"""A client of which no byte came for so long, pongs included, has gone."""

HOLD_SECONDS = 2.0
"""How long a refused socket is held: y-websocket 3.0 would come back ten times a second."""

CLOSE_SECONDS = 5.0
"""How long what is queued for a connection that ends may take to be sent."""

LAST_WORDS_SECONDS = 1.0
"""How long a client may take to answer a close frame, and all of them when the server stops."""
