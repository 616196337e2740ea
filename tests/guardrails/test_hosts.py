"""One strict reading of where an address leads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails import hosts


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("a.com", "a.com"),
        ("A.Com.", "a.com"),
        ("a.com:8080", "a.com"),
        ("https://a.com", "a.com"),
        ("HTTPS://user:pw@A.com:443/x?y#z", "a.com"),
        ("//a.com/x", "a.com"),
        ("postgres://u:p@db.internal:5432/x", "db.internal"),
        ("https://a.com?x=@evil.com", "a.com"),
        ("https://a.com#@evil.com", "a.com"),
        ("https://bücher.example", "xn--bcher-kva.example"),
        ("https://XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("https://a。com", "a.com"),
        ("http://127.0.0.1:80/", "127.0.0.1"),
        ("http://[::1]:80/", "::1"),
        ("http://[0:0:0:0:0:0:0:1]/", "::1"),
        ("localhost", "localhost"),
    ],
)
def test_an_address_leads_to_one_host(address: str, host: str) -> None:
    assert hosts.host_of(address) == host


@pytest.mark.parametrize(
    "address",
    [
        "",
        "https://",
        "https:a.com",
        "https:/a.com",
        "https:\\\\a.com",
        "https://a.com\\@evil.com",
        "https://a.com@b.com@evil.com",
        "https://a.com\t.evil.com",
        "ht\ntps://a.com",
        " https://a.com",
        "https://a%2ecom",
        "https://a..com",
        "https://-a.com",
        "https://a.com:80:80",
        "http://2130706433",
        "http://0x7f.1",
        "http://127.1",
        "http://0177.0.0.1",
        "http://[::1%25eth0]",
        "http://[a.com]",
        "https://faß.de",
        "javascript:alert(1)",
        "data:text/html,x",
        "a.com/path",
        "u@a.com",
        "https://a\u200b.com",
    ],
)
def test_where_readers_differ_there_is_no_host(address: str) -> None:
    assert hosts.host_of(address) is None


def test_a_pattern_is_a_host_or_all_hosts_below_it() -> None:
    below = hosts.pattern("*.B.com")
    assert below.matches("a.b.com")
    assert below.matches("x.a.b.com")
    assert not below.matches("b.com")
    assert not below.matches("ab.com")
    assert hosts.pattern("bücher.example").matches("xn--bcher-kva.example")
    assert not hosts.pattern("b.com").matches("a.b.com")


@pytest.mark.parametrize("text", ["", "*", "*.", "a.*", "https://a.com", "a b", "*.1.2.3.4", "a/b"])
def test_a_pattern_that_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(hosts.HostError, match="is no host"):
        hosts.pattern(text)


@given(st.text(alphabet="abc.@:/\\#?[]%xn-09é\t ", max_size=30))
def test_a_host_that_is_read_is_its_own_reading(text: str) -> None:
    for address in (text, "https://" + text):
        host = hosts.host_of(address)
        if host is not None:
            assert hosts.normal_host(host) == host
            assert host == host.lower()
