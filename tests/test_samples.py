"""`syncd.demo.samples`: a message of every design there is, made by the real pipeline."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from syncd.core import compose
from syncd.core.compose import notices
from syncd.core.compose.section import MOST_LINES
from syncd.core.compose.states import STATES
from syncd.core.message import as_text
from syncd.demo.samples import samples
from syncd.sinks.slack import render
from tests.fake_slack import check

SAMPLES = samples()

# What makes a section or a message, and where the name of its design stands.
MAKERS = {"section": "kind", "Section": "kind", "Message": "kind"}


def designs_in(tree: ast.AST) -> Iterator[str]:
    """Every name of a design that is written out: of a section, of a message, or at the head of several sections."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in MAKERS:
            named = [keyword.value for keyword in node.keywords if keyword.arg == MAKERS[node.func.id]]
            yield from constants([*node.args[:1], *named])
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == "head" for target in node.targets
        ):
            tuples = [part for part in ast.walk(node.value) if isinstance(part, ast.Tuple)]
            yield from constants([part.elts[0] for part in tuples])


def constants(nodes: list[ast.expr]) -> Iterator[str]:
    yield from (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))


def designs() -> set[str]:
    modules = Path(compose.__file__).parent.glob("*.py")
    written = {name for module in modules for name in designs_in(ast.parse(module.read_text("utf-8")))}
    of_conditions = {state.design for state in STATES.values()}
    of_notices = {kind.replace(".", "_") for kind in notices.WORDS}
    return written | of_conditions | of_notices


def test_the_designs_are_found():
    assert {"models_unlocked", "price_changed", "watching", "digest", "digest_part", "summary"} <= designs()


def test_every_design_has_a_sample():
    shown = {message.kind for one in SAMPLES.values() for message in (one, *one.replies)}
    assert shown == designs()


def test_each_sample_is_named_after_its_design_and_what_follows_another_after_what_it_tells():
    others = {name: message.kind for name, message in SAMPLES.items() if name != message.kind}
    assert others == {
        "recovered": "key_rejected",
        "reminder": "key_rejected",
        "back": "not_listed",
        "revert": "price_changed",
        "settled": "flapping",
    }


def test_a_digest_of_sixty_changes_goes_on_in_its_thread():
    digest = SAMPLES["digest"]
    assert digest.title == "60 changes for prod"
    assert [reply.kind for reply in digest.replies] == ["digest_part"] * len(digest.replies)
    assert len(digest.replies) > 1
    assert all(len(as_text(reply).splitlines()) <= MOST_LINES + 5 for reply in digest.replies)


@pytest.mark.parametrize("name", SAMPLES)
def test_slack_takes_every_sample(name):
    for message in (SAMPLES[name], *SAMPLES[name].replies):
        check(render.payload(message, "dlv_1"))
        check(render.payload(message, "dlv_1", "plain"))


def test_samples_call_whom_the_route_calls_and_only_where_routes_call_people():
    calling = {name for name, message in samples("@here").items() if message.mentions == ("@here",)}
    assert {"price_changed", "key_rejected", "reminder", "not_listed", "flapping", "settled"} <= calling
    assert not calling & {"recovered", "back", "revert", "digest", "test", "summary", "silence_ended"}
    assert not any(message.mentions for message in SAMPLES.values())


def test_samples_are_the_same_every_time():
    assert samples() == SAMPLES
