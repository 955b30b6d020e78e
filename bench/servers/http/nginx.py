"""nginx with one process, and `return 200`."""

from __future__ import annotations

import os

from bench.build import BUILD
from bench.servers import HOST
from bench.servers.http.late import free_port, say_when_ready

CONFIGURATION = """
daemon off; master_process off; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 20000; }}
http {{
    access_log off; server_tokens off; keepalive_requests 1000000000; default_type "text/plain; charset=utf-8";
    client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
    uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen {host}:{port} backlog=4096; return 200 "Hello, world!"; }}
}}
"""

if __name__ == "__main__":
    folder = BUILD / "nginx"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, host=HOST, port=port))
    if os.fork() == 0:
        say_when_ready(port)
        os._exit(0)
    os.execvp("nginx", ["nginx", "-c", str(configuration)])
