"""nginx in two parts: the upstream of the JSON windows, and the proxy that everyone knows.

One worker, no access log.
"""

from pathlib import Path

from benchmarks import workload
from benchmarks.servers import Server

# A loaded nginx keeps its own limits out of the way: no limit of requests per connection, and bodies in memory.
_FRAME = """\
daemon off;
worker_processes 1;
pid {folder}/{name}.pid;
error_log {folder}/{name}.error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_max_body_size 0;
  client_body_temp_path {folder}/{name}.body;
  proxy_temp_path {folder}/{name}.proxy;
  fastcgi_temp_path {folder}/{name}.fastcgi;
  uwsgi_temp_path {folder}/{name}.uwsgi;
  scgi_temp_path {folder}/{name}.scgi;
  {content}
}}
"""

_ANSWER = """\
server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ default_type application/json; return 200 '{body}'; }}
  }}"""

_PROXY = """\
upstream api {{ server 127.0.0.1:{upstream_port}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://api;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_buffering off;
    }}
  }}"""


def answering(port: int, *, core: int, folder: Path) -> Server:
    """An upstream that answers every request with `workload.answer_body` at once."""
    content = _ANSWER.format(port=port, body=workload.answer_body().decode())
    return _server("nginx-upstream", content, port, core, folder)


def forwarding(port: int, upstream_port: int, *, core: int, folder: Path) -> Server:
    """A reverse proxy with kept connections to the upstream, and unbuffered as streams need it."""
    return _server("nginx-proxy", _PROXY.format(port=port, upstream_port=upstream_port), port, core, folder)


def _server(name: str, content: str, port: int, core: int, folder: Path) -> Server:
    config = folder / f"{name}.conf"
    config.write_text(_FRAME.format(folder=folder, name=name, content=content))
    return Server(name, ["nginx", "-c", str(config), "-p", str(folder)], port, core=core, folder=folder)
