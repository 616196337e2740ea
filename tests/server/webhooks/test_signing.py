"""Signatures and the times of attempts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from graphs.keys import Keys
from server.webhooks import message, signing
from server.webhooks.secret import Secrets
from tests.server.webhooks.receiver import Got


@given(st.binary(min_size=16, max_size=64), st.binary(max_size=200), st.integers(0, 2**40))
def test_a_signature_is_what_a_receiver_makes_of_secret_and_message(
    secret: bytes, body: bytes, at: int
) -> None:
    headers = signing.headers(message_id="msg_1", timestamp=at, body=body, secret=secret)
    shown = signing.shown(secret)
    assert Got(path="/", headers=headers, body=body).is_signed_with(shown)
    assert not Got(path="/", headers=headers, body=body + b" ").is_signed_with(shown)
    later = {**headers, "Webhook-Timestamp": str(at + 1)}
    assert not Got(path="/", headers=later, body=body).is_signed_with(shown)


def test_the_example_of_the_specification_holds() -> None:
    headers = signing.headers(
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
        secret=signing.read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    )
    assert headers["Webhook-Signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(min_size=16, max_size=64))
def test_a_secret_is_read_as_it_is_shown(secret: bytes) -> None:
    assert signing.read(signing.shown(secret)) == secret


def test_any_long_text_is_a_secret_and_a_short_one_is_none() -> None:
    assert signing.read("a text of one's own") == b"a text of one's own"
    for bad in ("short", "whsec_c2hvcnQ=", "whsec_!!!"):
        with pytest.raises(ValueError):
            signing.read(bad)


async def test_the_secret_that_is_made_is_the_same_for_every_process(
    redis: Redis, keys: Keys
) -> None:
    one, other = Secrets(redis, keys), Secrets(redis, keys)
    assert await one.of("default") == await other.of("default")
    assert len(await one.of("default")) == 32


async def test_no_tenant_can_sign_for_another(redis: Redis, keys: Keys) -> None:
    made = Secrets(redis, keys, given=b"0123456789abcdef")
    found = [await made.of(tenant) for tenant in ("default", "a", "b")]
    assert found[0] == b"0123456789abcdef"
    assert len(set(found)) == 3
    assert await redis.exists(keys.secret("webhooks")) == 0


@given(st.integers(1, 50), st.floats(0, 1))
def test_pauses_grow_and_never_beyond_five_hours(attempts: int, roll: float) -> None:
    pause = message.pause(attempts, roll=roll)
    assert 0 < pause <= 5 * 3600
    assert message.pause(attempts + 3, roll=roll) >= pause


def test_all_attempts_are_over_within_a_day() -> None:
    most = sum(message.pause(one, roll=1) for one in range(1, message.MOST_ATTEMPTS))
    assert most < message.OLDEST_SECONDS
    assert not message.is_over(message.MOST_ATTEMPTS - 1, age_seconds=most)
    assert message.is_over(message.MOST_ATTEMPTS, age_seconds=0)
    assert message.is_over(1, age_seconds=message.OLDEST_SECONDS)
