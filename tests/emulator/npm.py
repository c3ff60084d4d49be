"""Programs of other people's, from the npm registry, and the emulator of Slack that is one of them.

    make test-slack     copies package.json and its lock to .node/ and has npm install exactly that there
    program("tsc")      the command; a test that needs it fails if it is not there
    with Emulator(log) as slack: … slack.url …

The emulator (npm `emulate`, by Vercel) knows nothing of us: where it takes what we send and gives it back, that is not
our own reading of Slack's documentation alone, as it is with `tests/fake_slack.py`. It is more lenient than Slack, as
its source shows (its service ``slack``, version 0.12.2):

    a token it does not know      is its person ``admin`` without any scope, so that calls answer `missing_scope`; Slack
                                  says `invalid_auth`. Only no token at all is `not_authed`.
    blocks                        a list of objects; neither their types nor any limit is looked at
    metadata                      an object; always shown, whatever `include_all_metadata` says
    a bot in no channel           may post to public ones and read them; private ones do not exist for it, as in Slack
    a thread that does not exist  takes answers, and reads as empty instead of `thread_not_found`
    oldest, latest, inclusive     ignored: always the whole history
    bot_id                        not shown with messages that chat.postMessage made; `user` is
    mrkdwn, parse, link_names …   kept and shown with the message, which Slack does not
    rate limits                   after 5,000 calls of a token's in an hour HTTP 403 without a code of Slack's; never
                                  429, never late

What Slack does there is `tests/fake_slack.py`'s to imitate.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

import pytest

from tests.program import ROOT, until

Json = dict[str, Any]

NODE = ROOT / ".node"
SEED = Path(__file__).with_name("seed.yaml")


def program(name: str) -> tuple[str, ...]:
    """The command that runs an installed program with the installed node, whatever node the machine has."""
    node, script = (NODE / "node_modules" / ".bin" / one for one in ("node", name))
    if not node.exists() or not script.exists():
        pytest.fail(f"{name} is not installed in {NODE}: run `make test-slack`, which installs it")
    return str(node), str(script)


class Emulator:
    """Slack on loopback, with the tokens and channels of seed.yaml."""

    bot = "xoxb-made-up-bot"
    blind = "xoxb-made-up-blind"
    mute = "xoxb-made-up-mute"
    person = "xoxp-made-up-person"
    user_id = "U0SYNCD000"

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process: subprocess.Popen[bytes]
        self._port = 0
        self._channels: dict[str, str] = {}

    def __enter__(self) -> Self:
        command = program("emulate")
        # It cannot pick a port by itself; between this and its start another process may, which then is an error.
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        options = ("--service", "slack", "--host", "127.0.0.1", "--port", str(self._port), "--seed", str(SEED))
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "start", *options],
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            until(lambda: "Ready." in self.said or self._process.poll() is not None, 60)
            assert self._process.poll() is None, self.said
            self._channels = {one["name"]: one["id"] for one in self._everything("conversations.list", "channels")}
            for name in ("vivix", "secret"):
                self._invite(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait(10)

    @property
    def said(self) -> str:
        """What it has printed, without colours."""
        return re.sub(r"\x1b\[[0-9;]*m", "", self._log.read_text())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api/"

    def id_of(self, channel: str) -> str:
        return self._channels[channel]

    def create(self, channel: str) -> str:
        """A new channel with the bot in it; its id."""
        answer = self.call("conversations.create", token=self.person, name=channel)
        self._channels[channel] = answer["channel"]["id"]
        self._invite(channel)
        return self._channels[channel]

    def _invite(self, channel: str) -> None:
        self.call("conversations.invite", token=self.person, channel=self.id_of(channel), users=self.user_id)

    def call(self, method: str, *, token: str, **arguments: object) -> Json:
        """Ask it with nothing of ours."""
        request = Request(  # noqa: S310 - http on loopback
            self.url + method,
            json.dumps(arguments).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urlopen(request, timeout=10) as response:  # noqa: S310 - as above
            answer: Json = json.load(response)
        assert answer["ok"], (method, answer)
        return answer

    def messages(self, channel: str) -> list[Json]:
        """Everything of a channel but the answers in threads, the oldest first."""
        return self._everything("conversations.history", "messages", channel=self.id_of(channel))[::-1]

    def replies(self, channel: str, thread: str) -> list[Json]:
        """The message that began the thread, and the answers."""
        return self._everything("conversations.replies", "messages", channel=self.id_of(channel), ts=thread)

    def _everything(self, method: str, name: str, **arguments: object) -> list[Json]:
        types = "public_channel,private_channel"
        found: list[Json] = self.call(method, token=self.person, limit=1000, types=types, **arguments)[name]
        return found
