"""Stands in for a component: answers /ready, writes a log on /write, flushes it on /shutdown."""
import os, re, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

flags = dict(argument.lstrip("-").split("=", 1) for argument in sys.argv[1:] if "=" in argument)
config = open(flags["config.file"]).read()
setting = lambda key: (re.search(rf"^\s*{key}: *\"?([^\"\n]+)\"?$", config, re.M) or [None, None])[1]
wal = setting("path")
if setting("broken"):
    print("the configuration is broken", flush=True)
    sys.exit(64)


class Handler(BaseHTTPRequestHandler):
    def answer(self, status, text=""):
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer(200, "ready")

    def do_POST(self):
        if self.path == "/write":
            os.makedirs(wal, exist_ok=True)
            open(os.path.join(wal, "segment"), "w").write("spans")
            return self.answer(200)
        if setting("stubborn"):
            return self.answer(500, "object storage is away")
        if wal and os.path.exists(os.path.join(wal, "segment")):
            os.rename(os.path.join(wal, "segment"), os.path.join(wal, "segment.flushed"))
        self.answer(204)
        threading.Timer(0.05, lambda: os._exit(0)).start()

    def log_message(self, *_):
        pass


print("serving", flush=True)
ThreadingHTTPServer(("127.0.0.1", int(setting("http_listen_port"))), Handler).serve_forever()
