"""An HTTP/1.1 reverse-proxy engine. It knows messages, connections and time limits, and nothing of credits.

`heads` and `bodies` turn bytes into messages and back without any I/O (RFC 9112); `fields` holds the header rules
of an intermediary (RFC 9110 §7.6). `client` serves connections, `upstream` keeps a pool of them, and an `Exchange` is
one request and its answer between the two, as the coroutine that handles it sees them. What is ambiguous is refused.
"""
