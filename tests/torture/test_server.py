"""The tormentor itself: every action does what its name says, and the invoice holds whatever the client did (H1)."""

import http.client
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.torture.server import (
    ACTIONS,
    GOOD,
    INPUT_PRICE,
    LABELS,
    OUTPUT_PRICE,
    REPLIES,
    TRANSPORT,
    label_of,
    proof_of,
    tokens_in,
)
from tests.torture.serving import Scene, Servers, by_nonce, serving

NONCE = f"nonce-{'0' * 16}"
TEXT = f"Text about {NONCE}"


def post(scene: Scene, text: str = TEXT, timeout: float = 5.0) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=timeout)
    body = {"model": "m", "max_tokens": 16, "temperature": 0.0, "messages": [{"role": "user", "content": text}]}
    try:
        connection.request("POST", f"/{scene.name}/v1/chat/completions", json.dumps(body))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def choice(received: bytes) -> dict[str, Any]:
    return json.loads(received)["choices"][0]


def test_a_right_answer_carries_the_proof_of_its_own_nonce(servers: Servers) -> None:
    scene = servers.scene()
    proof = proof_of(scene.key, NONCE)
    status, received = post(scene)
    assert (status, choice(received)["finish_reason"]) == (200, "stop")
    assert choice(received)["message"]["content"] == f"proof-{proof}\nLabel: {label_of(proof)}"
    [bill] = scene.billed()
    usage = json.loads(received)["usage"]
    assert (bill["input_tokens"], bill["output_tokens"]) == (usage["prompt_tokens"], usage["completion_tokens"])
    assert bill["usd"] == pytest.approx(
        (bill["input_tokens"] * INPUT_PRICE + bill["output_tokens"] * OUTPUT_PRICE) / 1e6
    )
    assert (bill["nonce"], bill["proof"], bill["action"]) == (NONCE, proof, "ok")
    assert scene.asked()[0]["body"]["messages"][0]["content"] == TEXT


@pytest.mark.parametrize("action", sorted(set(REPLIES) - GOOD))
def test_what_must_not_become_a_label_does_not_carry_the_proof(action: str, servers: Servers) -> None:
    scene = servers.scene(fixed={NONCE: [action]})
    status, received = post(scene)
    assert proof_of(scene.key, NONCE).encode() not in received
    assert [line["proof"] for line in scene.billed()] in ([], [None])
    named = action[:3]
    assert status == (int(named) if named.isdigit() else 200)


@pytest.mark.parametrize("action", sorted(TRANSPORT - {"hang", "stall", "drip", "bad_gzip", "cut_gzip", "huge"}))
def test_a_broken_transport_breaks(action: str, servers: Servers) -> None:
    scene = servers.scene(fixed={NONCE: [action]})
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        post(scene)
    assert len(scene.billed()) == 1, "generated, and so billed"


@pytest.mark.parametrize("action", ["hang", "stall", "drip"])
def test_a_client_that_gives_up_is_billed_all_the_same(action: str, servers: Servers) -> None:
    scene = servers.scene(fixed={NONCE: [action]}, delay=[0.1, 0.1])
    with pytest.raises(TimeoutError):
        post(scene, timeout=0.05)
    until = time.monotonic() + 5
    while not scene.billed() and time.monotonic() < until:
        time.sleep(0.01)
    assert [line["action"] for line in scene.billed()] == [action]


def test_the_same_seed_does_the_same_and_another_does_not(servers: Servers) -> None:
    faults = {"faults": {"500": 0.3, "length": 0.3}}
    played: list[list[str]] = []
    for seed in (1, 1, 2):
        scene = servers.scene(seed=seed, **faults)
        for number in range(40):
            post(scene, f"nonce-{number:016x}")
        played.append([line["action"] for line in scene.asked()])
    assert played[0] == played[1] != played[2]
    assert {"ok", "500", "length"} == set(played[0])


def test_fixed_actions_follow_each_other_and_numbers_override_chance(servers: Servers) -> None:
    scene = servers.scene(fixed={NONCE: ["500", "ok", "429"]}, from_number={"4": "401"})
    for text in (TEXT, TEXT, TEXT, f"nonce-{'1' * 16}"):
        post(scene, text)
    assert [line["action"] for line in scene.asked()] == ["500", "ok", "429", "401"]
    assert [len(found) for found in by_nonce(scene.asked()).values()] == [3, 1]


def test_an_unknown_action_is_refused(servers: Servers) -> None:
    with pytest.raises(OSError, match="400"):
        servers.scene(faults={"nonsense": 1.0})
    assert GOOD | TRANSPORT <= ACTIONS


def test_the_invoice_survives_the_server(tmp_path: Path) -> None:
    with serving(tmp_path) as servers:
        scene = servers.scene()
        post(scene)
    assert len(scene.billed()) == 1
    assert label_of(proof_of(scene.key, NONCE)) in LABELS
    assert tokens_in("Label: alpha") == 5
