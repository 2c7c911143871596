"""The HTTP API: sessions, their events, tickets.

::

    application ── what every request goes through, and the description of it all
      ├─ exchange      requests whose body nobody read to its end
      ├─ problems      errors as RFC 9457 problem details
      ├─ context       what a handler is given: who asks, the body, the parts of the service
      ├─ requests · resources    what comes in, what goes out
      └─ sessions · events (event_stream) · tickets · health    the routes
"""
