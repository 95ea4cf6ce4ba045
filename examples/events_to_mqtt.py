"""A bridge to MQTT: `python events_to_mqtt.py BROKER [PORT]`, and `onlooker watch … --publish http://localhost:8080`.

It takes the events that are sent to PORT (8080) of this machine, and publishes each to the topic `onlooker/CLASS` of
the broker (HOST or HOST:PORT). While the broker cannot be reached it answers 503, and onlooker sends the event again.
Needs paho-mqtt (`pip install paho-mqtt`)."""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from paho.mqtt import MQTTException
from paho.mqtt.publish import single


class Bridge(BaseHTTPRequestHandler):
    """Answers 204 once the broker has an event."""

    host, port = "localhost", 1883

    def do_POST(self) -> None:
        """One event as JSON."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        topic = "onlooker/" + re.sub(r"[+#/\0]", "-", json.loads(body)["label"])  # characters with a meaning in topics
        try:
            single(topic, body, qos=1, hostname=self.host, port=self.port)
            status = 204
        except (OSError, MQTTException) as error:
            status = 503
            print(f"{self.host}:{self.port}: {error}", file=sys.stderr)
        self.send_response(status)
        self.end_headers()


if __name__ == "__main__":
    Bridge.host, _, port = sys.argv[1].partition(":")
    Bridge.port = int(port or 1883)
    HTTPServer(("127.0.0.1", int(sys.argv[2]) if len(sys.argv) > 2 else 8080), Bridge).serve_forever()
