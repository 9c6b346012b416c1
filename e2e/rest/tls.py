"""Serves a folder over TLS to whoever shows a certificate of an authority: tls.py FOLDER PORT CERTIFICATE KEY AUTHORITY.

Python's `http.server` and `ssl`, and so OpenSSL: a caller without such a certificate is refused in the handshake.
"""

import functools
import http.server
import ssl
import sys

folder, port, certificate, key, authority = sys.argv[1:]
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority)
context.load_cert_chain(certificate, key)
context.verify_mode = ssl.CERT_REQUIRED
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler)
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print("listening", flush=True)
server.serve_forever()
