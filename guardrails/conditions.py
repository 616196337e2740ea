"""The conditions of a rule, as written by people: ``amount > 100``, ``path under /srv/data``.

Read once at start-up into small objects; judged over the arguments of a call, nothing else. What
an argument list holds is judged one by one: they have to agree, else nothing is known.
"""

from __future__ import annotations

import json
import math
import posixpath
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, assert_never

from guardrails import hosts, truth
from guardrails.truth import Truth

_FIELD = r"(?P<field>[^\W\d][\w-]*(?:\.[^\W\d][\w-]*)*)"
_CONDITION = re.compile(
    _FIELD + r"\s*(?:(?P<sign>>=|<=|==|!=|=|>|<)|\s(?P<word>(?:not\s+)?(?:under|in|one\s+of|"
    r"matches))\s)\s*(?P<rest>\S.*)$"
)
_BARE = re.compile(r"[^\W\d][\w.@:/+-]*$")
# What the word `host` reads where a call has no field of that name, or beside it.
_ADDRESSES = ("host", "hostname", "url", "uri")

Scalar = str | int | float | bool | None


class ConditionError(ValueError):
    """A condition that nobody can judge; the message names it and the remedy."""


class Operator(StrEnum):
    """How a field is compared."""

    MORE = ">"
    LESS = "<"
    AT_LEAST = ">="
    AT_MOST = "<="
    EQUAL = "=="
    UNEQUAL = "!="


@dataclass(frozen=True, kw_only=True)
class Compare:
    """``amount > 100``: a number with a number, or any scalar with one of its own type."""

    text: str
    field: str
    operator: Operator
    value: Scalar


@dataclass(frozen=True, kw_only=True)
class Under:
    """``path under /srv/data``: an absolute POSIX path, in or below a folder, by its text alone."""

    text: str
    field: str
    folder: str
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class HostIn:
    """``host in a.com, *.b.com``: the host that a name or a URL leads to."""

    text: str
    field: str
    hosts: tuple[hosts.HostPattern, ...]
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class OneOf:
    """``currency one of EUR, USD``: equal to one of several scalars."""

    text: str
    field: str
    values: tuple[Scalar, ...]
    negated: bool = False


@dataclass(frozen=True, kw_only=True)
class Matches:
    """``name matches report-*``: a glob over text, which minds the case."""

    text: str
    field: str
    glob: str
    negated: bool = False


Condition = Compare | Under | HostIn | OneOf | Matches


def parse(text: str) -> Condition:
    """Read one condition. Raises ConditionError."""
    text = " ".join(text.split())
    found = _CONDITION.match(text)
    if found is None:
        raise ConditionError(
            f"{text!r} is no condition: write `amount > 100`, `path under /srv/data`, "
            "`host in a.com, *.b.com`, `currency one of EUR, USD` or `name matches report-*`"
        )
    field, rest = found["field"], found["rest"].strip()
    if found["sign"]:
        return _compare(text, field, found["sign"], rest)
    word = " ".join(found["word"].split())
    negated, word = word.startswith("not "), word.removeprefix("not ")
    match word:
        case "under":
            return Under(text=text, field=field, folder=_folder(text, rest), negated=negated)
        case "in":
            try:
                named = tuple(hosts.pattern(one) for one in rest.split(","))
            except hosts.HostError as error:
                raise ConditionError(
                    f"{text!r}: {error}; for values write `{field} one of ..."
                ) from None
            return HostIn(text=text, field=field, hosts=named, negated=negated)
        case "one of":
            values = tuple(_scalar(text, one.strip()) for one in rest.split(","))
            return OneOf(text=text, field=field, values=values, negated=negated)
        case _:
            glob = _unquoted(rest)
            return Matches(text=text, field=field, glob=glob, negated=negated)


def judge(condition: Condition, args: Mapping[str, Any]) -> Truth:
    """Whether a call's arguments fulfil the condition; UNKNOWN where they do not tell."""
    return truth.unanimous(_test(condition)(value) for value in _values(condition, args))


def why(condition: Condition, args: Mapping[str, Any]) -> str:
    """What the arguments hold where the condition looks, in words for people."""
    found = list(_values(condition, args))
    if not found:
        return f"{condition.field} is empty"
    words = [_told(value) for value in found[:3]]
    more = f" and {len(found) - 3} more" if len(found) > 3 else ""
    return f"{condition.field} is {', '.join(words)}{more}"


def _compare(text: str, field: str, sign: str, rest: str) -> Compare:
    if sign == "=":
        raise ConditionError(f"{text!r}: write == to compare")
    value = _scalar(text, rest)
    operator = Operator(sign)
    ordered = operator not in (Operator.EQUAL, Operator.UNEQUAL)
    if ordered and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ConditionError(f"{text!r}: {sign} needs a number, such as `{field} {sign} 100`")
    return Compare(text=text, field=field, operator=operator, value=value)


def _folder(text: str, rest: str) -> str:
    folder = _path(_unquoted(rest))
    if folder is None or ".." in rest.split("/"):
        raise ConditionError(f"{text!r}: write the folder as an absolute path, such as /srv/data")
    return folder


def _scalar(text: str, written: str) -> Scalar:
    try:
        value = json.loads(written, parse_constant=_no_constant)
    except ValueError:
        value = _unquoted(written)
        if value == written and not _BARE.match(written):
            raise ConditionError(
                f'{text!r}: {written} is no number, nor a word; write text as "{written}"'
            ) from None
    if isinstance(value, dict | list):
        raise ConditionError(f"{text!r}: compare with one number, text, true, false or null")
    if isinstance(value, float) and not math.isfinite(value):
        raise ConditionError(f"{text!r}: {written} is beyond all numbers")
    scalar: Scalar = value
    return scalar


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _unquoted(written: str) -> str:
    quoted = len(written) >= 2 and written[0] == written[-1] and written[0] in "\"'"
    return written[1:-1] if quoted else written


class _Missing:
    """No such argument."""


_MISSING = _Missing()


def _values(condition: Condition, args: Mapping[str, Any]) -> Iterator[Any]:
    """What stands in the field; each element where it is a list, or is below one."""
    if isinstance(condition, HostIn) and condition.field == "host":
        named = [args[name] for name in _ADDRESSES if name in args] or [_MISSING]
        for value in named:
            yield from _reached(value, ())
        return
    yield from _reached(args, condition.field.split("."))


def _reached(value: Any, path: Sequence[str]) -> Iterator[Any]:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for one in value:
            yield from _reached(one, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping):
        yield from _reached(value.get(path[0], _MISSING), path[1:])
    else:
        yield _MISSING


def _test(condition: Condition) -> Callable[[Any], Truth]:
    match condition:
        case Compare():
            return lambda value: _compared(value, condition.operator, condition.value)
        case Under():
            return lambda value: _turned(_is_under(value, condition.folder), condition)
        case HostIn():
            return lambda value: _turned(_is_host_in(value, condition.hosts), condition)
        case OneOf():
            return lambda value: _turned(
                truth.some(_compared(value, Operator.EQUAL, one) for one in condition.values),
                condition,
            )
        case Matches():
            return lambda value: _turned(
                truth.of(fnmatchcase(value, condition.glob))
                if isinstance(value, str)
                else Truth.UNKNOWN,
                condition,
            )
        case _:
            assert_never(condition)


def _turned(found: Truth, condition: Under | HostIn | OneOf | Matches) -> Truth:
    return truth.negated(found) if condition.negated else found


def _compared(value: Any, operator: Operator, wanted: Scalar) -> Truth:
    if wanted is None and not isinstance(value, _Missing):
        return truth.of((value is None) is (operator is Operator.EQUAL))
    if _kind(value) is None or _kind(value) != _kind(wanted):
        return Truth.UNKNOWN
    match operator:
        case Operator.EQUAL:
            return truth.of(value == wanted)
        case Operator.UNEQUAL:
            return truth.of(value != wanted)
        case Operator.MORE:
            return truth.of(value > wanted)
        case Operator.LESS:
            return truth.of(value < wanted)
        case Operator.AT_LEAST:
            return truth.of(value >= wanted)
        case Operator.AT_MOST:
            return truth.of(value <= wanted)
        case _:
            assert_never(operator)


def _kind(value: Any) -> str | None:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number" if math.isfinite(value) else None
        case str():
            return "text"
        case _:
            return None


def _is_under(value: Any, folder: str) -> Truth:
    path = _path(value) if isinstance(value, str) else None
    if path is None:
        return Truth.UNKNOWN
    return truth.of(folder == "/" or path == folder or path.startswith(folder + "/"))


def _path(text: str) -> str | None:
    """An absolute path without ``.``, ``..`` and doubled slashes; None where it is none."""
    if not text.startswith("/") or re.search(r"[\\\x00-\x1f\x7f]", text):
        return None
    return "/" + posixpath.normpath(text).lstrip("/")


def _is_host_in(value: Any, named: Sequence[hosts.HostPattern]) -> Truth:
    host = hosts.host_of(value) if isinstance(value, str) else None
    if host is None:
        return Truth.UNKNOWN
    return truth.of(any(one.matches(host) for one in named))


def _told(value: Any) -> str:
    if isinstance(value, _Missing):
        return "missing"
    if value is None or isinstance(value, bool | int | float | str):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 80 else text[:77] + "..."
    return "an object"
