#!/usr/bin/env python3
"""A speech backend with real speech on loopback, for the end-to-end tests: PocketSphinx hears, a few rules answer,
eSpeak NG speaks, behind the OpenAI-compatible routes. Standard library and PocketSphinx only.

    openai_speech_server.py --port 0

prints one line of JSON, {"port": …, "url": …}, once it serves; logs each request to standard error as a line of JSON;
and ends when its standard input is closed, so that it never outlives the test that started it.

Routes: GET /health, GET /v1/models, POST /v1/audio/transcriptions (multipart, WAV), POST /v1/chat/completions (streamed
or not), POST /v1/audio/speech (wav or pcm)."""

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dialogue
import wav
from recogniser import Recogniser

MAX_BODY_BYTES = 32 << 20
MAX_TEXT_CHARS = 4_000
# What the format "pcm" means in this API: 24 kHz, 16 bits, mono, no header.
PCM_RATE_HZ = 24_000
SPEAK_TIMEOUT_S = 20
# Of eSpeak NG's voices one that PocketSphinx understands, at an unhurried pace.
VOICE = "en-us+m5"
WORDS_PER_MINUTE = 130


class BadRequest(Exception):
    """What a client did wrong."""


def form_fields(content_type: str, body: bytes) -> dict[str, bytes]:
    """The fields of a multipart/form-data body, by name."""
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise BadRequest(f"multipart/form-data with a boundary expected, got {content_type!r}")
    fields = {}
    delimiter = b"\r\n--" + boundary.encode()
    for part in (b"\r\n" + body).split(delimiter)[1:]:
        if part.startswith(b"--"):
            break
        head, blank, content = part.partition(b"\r\n\r\n")
        disposition = Message()
        for line in head.decode("utf-8", "replace").splitlines():
            if line.lower().startswith("content-disposition:"):
                disposition["Content-Disposition"] = line.split(":", 1)[1].strip()
        name = disposition.get_param("name", header="content-disposition")
        if blank and isinstance(name, str):
            fields[name] = content
    return fields


class Server(ThreadingHTTPServer):
    """Serves requests in parallel; recognition goes to as many decoders as there are."""

    daemon_threads = True

    def __init__(self, port: int, decoders: int, general: bool, token_delay_s: float, espeak: str) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.token_delay_s = token_delay_s
        self.espeak = espeak
        self.recognisers: queue.SimpleQueue[Recogniser] = queue.SimpleQueue()
        for _ in range(decoders):
            self.recognisers.put(Recogniser(general))

    def transcribe(self, data: bytes) -> str:
        try:
            samples, rate = wav.read(data)
        except ValueError as error:
            raise BadRequest(str(error)) from error
        recogniser = self.recognisers.get()
        try:
            return recogniser.text(samples, rate)
        finally:
            self.recognisers.put(recogniser)

    def speak(self, text: str, words_per_minute: int) -> bytes:
        """A WAV of 22,050 Hz. The text goes over standard input: it can be no option."""
        command = [self.espeak, "-v", VOICE, "-s", str(words_per_minute), "--stdin", "--stdout"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=SPEAK_TIMEOUT_S, check=True)
        # eSpeak NG writes the header before it knows the length.
        samples, rate = wav.read(done.stdout)
        return wav.write(samples, rate)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        if self.path == "/health":
            self.send_json(200, {"status": "ok"})
        elif self.path == "/v1/models":
            self.send_json(200, {"object": "list", "data": [{"id": "dialogue", "object": "model"}]})
        else:
            self.send_json(404, {"error": {"message": f"no route {self.path}"}})

    def do_POST(self) -> None:
        routes = {
            "/v1/audio/transcriptions": self.transcriptions,
            "/v1/chat/completions": self.completions,
            "/v1/audio/speech": self.speech,
        }
        started = time.monotonic()
        log = {}
        try:
            body = self.body()
            route = routes.get(self.path)
            if route is None:
                self.send_json(404, {"error": {"message": f"no route {self.path}"}})
            else:
                log = route(body)
        except BadRequest as error:
            log = {"error": str(error)}
            self.send_json(400, {"error": {"message": str(error), "type": "invalid_request_error"}})
        except (BrokenPipeError, ConnectionResetError):
            # A cancelled request: the caller interrupted.
            log = {"cancelled": True}
            self.close_connection = True
        except Exception as error:
            log = {"error": repr(error)}
            self.send_json(500, {"error": {"message": "the server failed", "type": "server_error"}})
        took_ms = round(1_000 * (time.monotonic() - started))
        print(json.dumps({"route": self.path, "ms": took_ms, **log}), file=sys.stderr, flush=True)

    def body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts, total = [], 0
            while size := int(self.rfile.readline(64).split(b";")[0].strip() or b"0", 16):
                total += size
                if total > MAX_BODY_BYTES:
                    self.close_connection = True
                    raise BadRequest(f"more than {MAX_BODY_BYTES} bytes")
                parts.append(self.rfile.read(size))
                self.rfile.readline(64)
            while self.rfile.readline(8_192).strip():
                pass
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY_BYTES:
            self.close_connection = True
            raise BadRequest(f"more than {MAX_BODY_BYTES} bytes")
        return self.rfile.read(length)

    def transcriptions(self, body: bytes) -> dict:
        fields = form_fields(self.headers.get("Content-Type", ""), body)
        if "file" not in fields:
            raise BadRequest("the field `file` is missing")
        text = self.server.transcribe(fields["file"])
        if fields.get("response_format") == b"text":
            self.send_bytes(200, "text/plain; charset=utf-8", text.encode())
        else:
            self.send_json(200, {"text": text})
        return {"bytes": len(fields["file"]), "text": text}

    def completions(self, body: bytes) -> dict:
        request = parse(body)
        messages = request.get("messages")
        if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
            raise BadRequest("`messages` must be a list of objects")
        text = dialogue.answer(messages)
        about = {"id": "chatcmpl-0", "created": int(time.time()), "model": request.get("model", "dialogue")}
        if not request.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            self.send_json(200, {**about, "object": "chat.completion", "choices": [choice]})
            return {"messages": len(messages), "text": text}
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-cache")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

        def event(delta: dict, finish: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            chunk = {**about, "object": "chat.completion.chunk", "choices": [choice]}
            self.send_chunk(f"data: {json.dumps(chunk)}\n\n".encode())

        event({"role": "assistant", "content": ""})
        for piece in dialogue.pieces(text):
            if self.server.token_delay_s:
                time.sleep(self.server.token_delay_s)
            event({"content": piece})
        event({}, "stop")
        self.send_chunk(b"data: [DONE]\n\n")
        self.send_chunk(b"")
        return {"messages": len(messages), "text": text}

    def speech(self, body: bytes) -> dict:
        request = parse(body)
        text, format_name, speed = request.get("input"), request.get("response_format", "wav"), request.get("speed", 1)
        if not isinstance(text, str) or not text.strip() or len(text) > MAX_TEXT_CHARS:
            raise BadRequest(f"`input` must be a text of 1 to {MAX_TEXT_CHARS} characters")
        if not isinstance(speed, (int, float)) or not 0.25 <= speed <= 4:
            raise BadRequest("`speed` must be 0.25 to 4")
        audio = self.server.speak(text, round(WORDS_PER_MINUTE * speed))
        if format_name == "wav":
            self.send_bytes(200, "audio/wav", audio)
        elif format_name == "pcm":
            samples, rate = wav.read(audio)
            self.send_bytes(200, "audio/pcm", wav.resample(samples, rate, PCM_RATE_HZ).tobytes())
        else:
            raise BadRequest(f"`response_format` must be wav or pcm, got {format_name!r}")
        return {"format": format_name, "bytes": len(audio), "text": text}

    def send_json(self, status: int, value: object) -> None:
        self.send_bytes(status, "application/json", json.dumps(value).encode())

    def send_bytes(self, status: int, content_type: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_chunk(self, content: bytes) -> None:
        self.wfile.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")
        self.wfile.flush()

    def log_message(self, *_: object) -> None:
        """Requests are logged above, with what came of them."""


def parse(body: bytes) -> dict:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise BadRequest(f"not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("an object expected")
    return value


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--decoders", type=int, default=1, help="utterances that are recognised at once")
    parser.add_argument("--general", action="store_true", help="with the general English language model: slower")
    parser.add_argument("--token-delay-ms", type=float, default=0, help="pause before each word of an answer")
    options = parser.parse_args()
    espeak = shutil.which("espeak-ng")
    if espeak is None:
        print("espeak-ng is not installed", file=sys.stderr)
        return 1
    server = Server(options.port, options.decoders, options.general, options.token_delay_ms / 1_000, espeak)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    print(json.dumps({"port": port, "url": f"http://127.0.0.1:{port}/v1"}), flush=True)
    while os.read(sys.stdin.fileno(), 4_096):
        pass
    server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
