"""The daemon, and a vendor that lists everything and nothing in turn: no removal is told, the trouble once."""

from __future__ import annotations

import signal

from syncd.demo.vendor import SimulatedVendor
from tests.program import ROUTE, Daemon, Home, until

POLLS = 50

# No half hour to wait for: what holds a removal back here is only how often it was missing.
AT_ONCE = '[detection]\nconfirm_removal = { polls = 2, after = "0s" }\n'


def polls(home: Home) -> int:
    """How many the daemon has recorded."""
    (count,) = home.rows("SELECT COALESCE(SUM(polls), 0) FROM poll_log")[0]
    return int(count)


def poll(home: Home, daemon: Daemon, *, empty: bool) -> None:
    """One more poll, at which the vendor lists nothing or everything."""
    before, account = polls(home), home.account("prod")
    account.extra = {"models": []} if empty else {}
    daemon.send(signal.SIGUSR1)
    until(lambda: polls(home) > before)


def test_fifty_polls_of_good_and_empty_lists_are_one_trouble(tmp_path):
    with SimulatedVendor() as vendor:
        home = Home(tmp_path, vendor, "prod", routes=ROUTE + AT_ONCE)
        with home.daemon() as daemon:
            # That the key is watched is a message of its own, not told with what comes next.
            until(lambda: home.rows("SELECT COUNT(*) FROM alert_log WHERE state = 'sent'") == [(1,)])
            for number in range(POLLS):
                poll(home, daemon, empty=number % 2 == 0)
            for _ in range(3):
                poll(home, daemon, empty=False)
            until(lambda: home.alerts() == ["sent", "sent"])
            daemon.send(signal.SIGTERM)
            assert daemon.wait() == 0

        models = len(home.account("prod").models)
        assert home.rows("SELECT outcome, SUM(polls) FROM poll_log GROUP BY outcome ORDER BY outcome") == [
            ("changed", POLLS + 1),
            ("unchanged", 3),
        ]
        removals = "SELECT state, COUNT(*) FROM change_log WHERE kind = 'model.removed' GROUP BY state"
        assert home.rows(removals) == [("retracted", models * POLLS // 2)]
        assert home.rows("SELECT DISTINCT kind FROM change_log") == [("catalogue.baseline",), ("model.removed",)]
        conditions = "SELECT kind, key_name, closed_at IS NOT NULL FROM condition_log"
        assert home.rows(conditions) == [("listing.suspicious", "prod", 1)]
        told = "SELECT kind, state FROM alert_log WHERE change_count = 0 ORDER BY created_at, delivery_id"
        assert home.rows(told)[1:] == [("listing_suspicious", "sent")] * 2
        assert home.rows("SELECT COUNT(*) FROM alert_log WHERE change_count > 0") == [(0,)]
        assert home.rows("SELECT COUNT(*) FROM current_models") == [(models,)]
        assert "gone" not in daemon.out.lower()
