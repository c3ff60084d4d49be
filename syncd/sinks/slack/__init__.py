"""Slack, through a bot's token: how a message looks, what the answers mean, and the calls themselves."""

from __future__ import annotations

from syncd.sinks.slack.sink import SlackSink

__all__ = ["SlackSink"]
