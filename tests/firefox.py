"""Firefox for tests, driven by WebDriver BiDi, which it speaks itself (https://w3c.github.io/webdriver-bidi/).

Playwright drives only its own Firefox, which no system packages.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

# A camera that needs no permission and shows a moving pattern; nothing is asked of other servers.
PREFERENCES = {
    "media.navigator.streams.fake": True,
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
}


class Firefox:
    """A tab.

    Args:
        errors: of its console and scripts.
        requests: the addresses that were asked for.
    """

    def __init__(self, socket: ClientConnection) -> None:
        self._socket, self._number = socket, 0
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.call("session.new", capabilities={})
        self.call("session.subscribe", events=["log.entryAdded", "network.beforeRequestSent"])
        self._tab = self.call("browsingContext.getTree")["contexts"][0]["context"]

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """A command of the protocol; an AssertionError if it fails."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while (message := json.loads(self._socket.recv(timeout=200))).get("id") != self._number:
            about = message.get("params", {})
            if message.get("method") == "log.entryAdded" and about["level"] == "error":
                self.errors.append(str(about["text"]))
            if message.get("method") == "network.beforeRequestSent":
                self.requests.append(about["request"]["url"])
        assert message["type"] == "success", message
        return dict(message["result"])

    def open(self, url: str) -> None:
        """Load a page."""
        self.call("browsingContext.navigate", context=self._tab, url=url, wait="complete")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression, or of its promise."""
        text = f"Promise.resolve({script}).then((value) => JSON.stringify(value))"
        answer = self.call("script.evaluate", expression=text, target={"context": self._tab}, awaitPromise=True)
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))

    def wait(self, script: str, seconds: float = 20.0) -> Any:
        """Wait until an expression is true; gives its value."""
        value = self.run(f"""(async () => {{
            for (let tries = 0; tries < {20 * seconds}; tries += 1) {{
                const value = {script};
                if (value) return value === true || typeof value === "object" ? true : value;
                await new Promise((resolve) => setTimeout(resolve, 50));
            }}
            return null;
        }})()""")
        assert value is not None, f"not within {seconds} s: {script}; {self.run('document.body.innerText')[:500]}"
        return value

    def press(self, key: str, hold: float = 0.0) -> None:
        """Press a key, and hold it for some seconds."""
        pause = [{"type": "pause", "duration": round(1000 * hold)}] if hold else []
        keys = [{"type": "keyDown", "value": key}, *pause, {"type": "keyUp", "value": key}]
        self.call("input.performActions", context=self._tab, actions=[{"type": "key", "id": "keys", "actions": keys}])


@contextmanager
def firefox(program: str, profile: Path) -> Iterator[Firefox]:
    """A separate Firefox without a window."""
    profile.mkdir()
    lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items()]
    (profile / "user.js").write_text("".join(lines), "utf-8")
    command = [program, "--headless", "--no-remote", "--remote-debugging-port=0", "--profile", str(profile)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        found = (re.search(r"BiDi listening on (ws://\S+)", line) for line in process.stderr)
        address = next(filter(None, found))[1]
        with connect(f"{address}/session", max_size=None) as socket:
            yield Firefox(socket)
    finally:
        process.kill()
        process.wait()
