"""The queue and its approvals, played by hand."""

from tests.server.approvals.conftest import desk as desk
