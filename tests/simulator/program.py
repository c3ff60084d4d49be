"""The program itself, as `syncd.app` puts it together, under the clock of a history.

vendor (simulated, over HTTP) <── fetcher ── poller ── database ── outbox ── Slack's sink ──> Slack (a fake, over HTTP)
"""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from syncd.app import App, build
from syncd.config import Config, Database, Key, Rules, Schedule, Slack, Vendor
from syncd.config.values import Detection
from syncd.core.balance import Thresholds
from syncd.core.secret import Secret
from syncd.demo.vendor import Account, Reply, SimulatedVendor
from syncd.poll import Target
from tests.conftest import Clock
from tests.fake_slack import FakeSlack
from tests.simulator.history import Said
from tests.simulator.world import ACCOUNT, Settings, World
from tests.watching import REQUEST_TAKES, plain


class Program(World):
    """Everything is real but the clock and who is at the other end of the sockets."""

    def __init__(
        self, url: str, clock: Clock, settings: Settings, *, vendor: SimulatedVendor, slack: FakeSlack
    ) -> None:
        super().__init__(clock, settings)
        self.url = url
        self.vendor = vendor
        self.slack = slack
        for number, route in enumerate(settings.routes):
            slack.channel(f"C0CHANNEL{number}", route.to.partition("#")[2])
        self.start()

    def start(self) -> None:
        self.process = ExitStack()
        self.app: App = self.process.enter_context(build(self._config(), clock=self.clock))
        self.app.register()
        self.outbox = self.app.outbox
        self.outbox.recover()

    def stop(self) -> None:
        self.process.close()

    def poll(self, key: str, said: Said) -> None:
        if key not in self.rotations:
            self.rotations[key] = 0
            self.stop()
            self.start()
        self.clock.now += REQUEST_TAKES
        target = next(target for target in self.app.targets if target.facts.name == key)
        self._answer(target, said)
        self.app.poller.poll(target)

    def _answer(self, target: Target, said: Said) -> None:
        reply = Reply(said.status, body=said.body) if said.status else Reply(script=lambda: (), reset=True)
        account = self.vendor.keys.setdefault(target.secret.reveal(), Account())
        account.answer = lambda _: reply

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.app.store.read() as connection:
            return [tuple(map(plain, row)) for row in connection.execute(sa.text(query))]

    def _config(self) -> Config:
        its = dict(self.settings.judgement)
        credits = its.pop("credits", Thresholds())
        second = timedelta(seconds=1)
        return Config(
            source="the simulator's own",
            database=Database(self.url, auto_migrate=False),
            vendor=Vendor(self.vendor.base_url, timeout=5.0, max_response=1024 * 1024),
            schedule=Schedule(second, max_concurrent=1),
            keys=tuple(
                Key(name, Secret(f"vvx_live_{name}_{number:08}"), ACCOUNT, second, self.vendor.base_url, {})
                for name, number in self.rotations.items()
            ),
            routes=self.settings.routes,
            slack=Slack(Secret(self.slack.token), self.slack.url, {}),
            rules=Rules(record_only=(), unknown_params="reject", required_with_default="breaking"),
            requests=self.settings.requests,
            detection=Detection(**its),
            credits=credits,
        )
