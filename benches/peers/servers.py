"""How each server is set up: as its own documentation has it for caching before an origin, with one
worker, without an access log, and with keep-alive that no load reaches the end of."""

from stand import Server, free_port

SANDBOX_LATENCY = "0s"


def floor(built, objects=1000, body_bytes=4600, core="0", name="floor"):
    port = free_port()
    command = [built["floor"], f"127.0.0.1:{port}", str(body_bytes), str(objects)]
    return Server(name, command, port, core)


def sandbox(built, core="1", products=2000):
    port = free_port()
    command = [built["csu-sandbox"], "--listen", f"127.0.0.1:{port}"]
    command += ["--latency", SANDBOX_LATENCY, "--products", str(products)]
    return Server("csu-sandbox", command, port, core)


def edge(built, origin, core="0", workers=1, settings=""):
    ports = [free_port() for _ in range(3)]
    config = f"""
[listen]
storefront = "127.0.0.1:{ports[0]}"
ingest = "127.0.0.1:{ports[1]}"
control = "127.0.0.1:{ports[2]}"
workers = {workers}
[origin]
service_root = "http://127.0.0.1:{origin.port}/Commerce"
{settings}
"""
    command = [built["csu-edge"], "serve", "--config", "FOLDER/config.toml"]
    server = Server("csu-edge", command, ports[0], core, [("config.toml", config)])
    server.ingest, server.control = ports[1], ports[2]
    return server


def nginx(origin, core="0"):
    port = free_port()
    config = f"""
daemon off; user root; worker_processes 1; pid FOLDER/pid; error_log FOLDER/error;
events {{ worker_connections 4096; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 75s; client_body_temp_path FOLDER/body;
  proxy_temp_path FOLDER/temp; fastcgi_temp_path FOLDER/f; uwsgi_temp_path FOLDER/u;
  scgi_temp_path FOLDER/s;
  proxy_cache_path FOLDER/cache levels=1:2 keys_zone=all:32m max_size=1g inactive=1d
                   use_temp_path=off;
  open_file_cache max=20000 inactive=1d; open_file_cache_min_uses 1;
  upstream origin {{ server 127.0.0.1:{origin.port}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096 reuseport;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache all; proxy_cache_valid 200 1d;
    }}
    location /Commerce/media/ {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
    }}
  }}
}}
"""
    command = ["nginx", "-p", "FOLDER", "-c", "FOLDER/nginx.conf"]
    return Server("nginx", command, port, core, [("nginx.conf", config)])


def varnish(origin, core="0"):
    port = free_port()
    vcl = f"""
vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{origin.port}"; }}
"""
    command = ["varnishd", "-F", "-j", "none", "-n", "FOLDER/varnish", "-f", "FOLDER/default.vcl"]
    command += ["-a", f"127.0.0.1:{port}", "-s", "malloc,512m"]
    return Server("varnish", command, port, core, [("default.vcl", vcl)])


def haproxy(origin, core="0"):
    port = free_port()
    config = f"""
global
  nbthread 1
  maxconn 4000
defaults
  mode http
  timeout connect 5s
  timeout client 75s
  timeout server 30s
cache all
  total-max-size 512
  max-object-size 100000
  max-age 86400
frontend front
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
  http-request cache-use all
  http-response cache-store all
  server origin 127.0.0.1:{origin.port}
"""
    command = ["haproxy", "-db", "-f", "FOLDER/haproxy.cfg"]
    return Server("haproxy", command, port, core, [("haproxy.cfg", config)])


def files(folder_bytes, core="1"):
    """An origin for large bodies: files of so many bytes by their paths, sent by nginx."""
    port = free_port()
    config = f"""
daemon off; user root; worker_processes 1; pid FOLDER/pid; error_log FOLDER/error;
events {{ worker_connections 1024; }}
http {{
  access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000000;
  server {{ listen 127.0.0.1:{port}; root FOLDER/www; default_type application/octet-stream; }}
}}
"""
    server = Server("files", ["nginx", "-p", "FOLDER", "-c", "FOLDER/nginx.conf"], port, core,
                    [("nginx.conf", config)])
    media = server.folder / "www/Commerce/media"
    media.mkdir(parents=True)
    server.folder.chmod(0o755)
    for name, size in folder_bytes.items():
        (media / name).write_bytes(b"x" * size)
    return server
