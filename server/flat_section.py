"""The settings that stand at the top level, by subject, in one."""

from __future__ import annotations

from server.check_section import CheckSettings
from server.context_section import ContextSettings
from server.file_section import ArtifactSettings
from server.frontend_section import FrontendSettings
from server.limit_section import LimitSettings
from server.log_section import LogSettings
from server.metric_section import MetricSettings
from server.parse_section import ParseSettings
from server.routing_section import RoutingSettings
from server.search_section import SearchSettings
from server.slack_section import SlackSettings
from server.trace_section import TraceSettings
from server.web_section import WebSettings


class FlatSettings(
    LimitSettings,
    CheckSettings,
    ParseSettings,
    ContextSettings,
    SearchSettings,
    WebSettings,
    ArtifactSettings,
    FrontendSettings,
    SlackSettings,
    MetricSettings,
    TraceSettings,
    LogSettings,
    RoutingSettings,
):
    """Each part of them has a file of its own."""
