"""Ten requests of an ordinary day, as runs of the team would ask them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from guardrails.policy import Choice, OnExpiry, Terms

EMAIL = {
    "type": "object",
    "properties": {
        "to": {"type": "array", "items": {"type": "string", "format": "email"}, "minItems": 1},
        "subject": {"type": "string", "minLength": 1, "maxLength": 120},
        "body": {"type": "string", "maxLength": 4000, "description": "Plain text"},
        "priority": {"enum": ["low", "normal", "high"], "default": "normal"},
        "send_at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
    },
    "required": ["to", "subject", "body"],
    "additionalProperties": False,
}
REFUND = {
    "type": "object",
    "properties": {
        "order": {"type": "string", "pattern": "^A-\\d+$"},
        "amount": {"type": "number", "minimum": 0, "maximum": 500, "description": "In euros"},
        "account": {"type": "integer"},
        "notify": {"type": "boolean"},
    },
    "required": ["order", "amount", "account"],
    "additionalProperties": False,
}
TICKET = {
    "type": "object",
    "properties": {
        "queue": {"enum": ["billing", "support", "legal"]},
        "title": {"type": "string", "minLength": 3},
        "customer": {
            "type": "object",
            "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
            "required": ["id"],
        },
        "labels": {"type": "array", "items": {"type": "string"}, "maxItems": 4},
    },
    "required": ["queue", "title"],
}
ACCOUNT = 900719925474099321
"""More digits than JavaScript's numbers hold."""

USAGE = {"cost": 0.0412, "input_tokens": 18_420, "output_tokens": 1_310, "model_calls": 6}
EVIDENCE = [
    {
        "title": "Plans and refunds",
        "source": "handbook/plans-and-refunds.md",
        "page": None,
        "text": "Annual plans can be returned within 30 days of the purchase. The amount goes back "
        "to the account that it came from.",
    },
    {
        "title": "Support guide",
        "source": "support-guide.pdf",
        "page": 4,
        "text": "Tell the customer the day on which the money will arrive.",
    },
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call that waits. ``seconds``: how long it may wait."""

    tool: str
    args: dict[str, Any]
    agent: str = "coder"
    who: str = "ruth"
    schema: dict[str, Any] | None = None
    rule: str = ""
    reason: str = ""
    seconds: float = 3_600.0
    terms: dict[str, Any] = field(default_factory=dict)
    question: str = "Ms Keller wants her annual plan back. Is that possible, and can you do it?"

    @property
    def given(self) -> dict[str, Any]:
        """As ``desk.asking`` takes it."""
        return {
            "tool": self.tool,
            "args": self.args,
            "agent": self.agent,
            "requested_by": self.who,
            "schema": self.schema,
            "rule": self.rule or f"ask for {self.tool}",
            "reason": self.reason,
            "description": self.reason,
            "terms": Terms(expires_seconds=self.seconds, **self.terms),
            "context": {
                "question": self.question,
                "plan": "Find the return window, then pay the money back and tell her when it "
                "will arrive.",
                "done": [
                    "search_documents: 5 passages about plans and refunds",
                    "lookup_order: A-4711 is 12 days old",
                ],
                "evidence": EVIDENCE,
                "usage": {**USAGE, "tool_calls": 3, "steps": 9, "seconds": 42.5},
            },
        }


REFUND_KELLER = Asked(
    tool="refund",
    args={"order": "A-4711", "amount": 240, "account": ACCOUNT, "notify": True},
    schema=REFUND,
    rule="ask for refund when amount > 100",
    reason="Refunds over 100 euros need a person",
    seconds=1_500.0,
)
MAIL_KELLER = Asked(
    tool="send_email",
    args={
        "to": ["m.keller@example.com"],
        "subject": "Your refund",
        "body": "Dear Ms Keller,\n\nwe have paid 240 euros back. The money arrives within three "
        "days.\n\nKind regards\nThe support team",
        "priority": "normal",
    },
    agent="researcher",
    schema=EMAIL,
    rule="ask for send_email",
    reason="Mail to customers is read by a person first",
    seconds=1_800.0,
)
DELETE = Asked(
    tool="delete_records",
    args={"table": "customers", "where": "last_seen < '2019-01-01'", "expected_rows": 4312},
    rule="ask for delete_* critical",
    reason="Deleting cannot be undone",
    terms={"critical": True},
    seconds=5_400.0,
    who="viktor",
)
SEND_TRICK = Asked(
    tool="post_message",
    args={
        "channel": "#general",
        # What a document smuggled in: markup, and text that reads otherwise than it is.
        "text": '<img src=x onerror="document.title=1"> <script>document.title=2</script> '
        "invoice_\u202efdp.exe",
    },
    agent="researcher",
    reason="Public channels are read by everybody",
    seconds=7_200.0,
)
PAY_TWO = Asked(
    tool="pay_invoice",
    args={"invoice": "2026-1184", "amount": 18_900.0, "currency": "EUR", "supplier": "Hafen AG"},
    rule="ask for pay_invoice when amount > 10000",
    reason="Large payments need two people",
    terms={"quorum": 2, "on_expiry": OnExpiry.FAIL},
    seconds=28_800.0,
    who="viktor",
)
RUN_QUERY = Asked(
    tool="run_sql",
    args={"query": "select region, sum(total) from orders group by region", "database": "sales"},
    terms={
        "remember": True,
        "choices": frozenset({Choice.APPROVE, Choice.REJECT, Choice.RESPOND}),
    },
    seconds=9_000.0,
    who="viktor",
    question="How did the regions sell this year?",
)
TICKET_LEGAL = Asked(
    tool="open_ticket",
    args={
        "queue": "support",
        "title": "Return of an annual plan",
        "customer": {"id": 1188, "name": "M. Keller"},
        "labels": ["refund", "annual"],
    },
    agent="researcher",
    schema=TICKET,
    seconds=10_800.0,
)
RENAME = Asked(
    tool="write_file",
    args={"path": "/srv/data/report.md", "text": "# Sales by region\n\nNorth leads.\n"},
    rule="ask for write_file when path under /srv/data",
    seconds=12_600.0,
    who="viktor",
)
FETCH = Asked(
    tool="fetch_page",
    args={"url": "https://prices.example.net/list?region=north"},
    agent="researcher",
    reason="The host is not on the list of those that are known",
    seconds=14_400.0,
    who="viktor",
)
GRANT = Asked(
    tool="grant_access",
    args={"user": "intern-7", "role": "admin", "project": "ledger"},
    terms={"critical": True},
    reason="New rights",
    seconds=16_200.0,
)

DAY = (
    REFUND_KELLER,
    MAIL_KELLER,
    DELETE,
    SEND_TRICK,
    RUN_QUERY,
    TICKET_LEGAL,
    RENAME,
    FETCH,
    GRANT,
    PAY_TWO,
)
