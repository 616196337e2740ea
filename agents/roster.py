"""All agents of the team, by name."""

from __future__ import annotations

from agents import coder, coordinator, critic, researcher
from agents.agent import Agent


def build() -> dict[str, Agent]:
    """The four agents that a caller can name; the prompts are read here, once."""
    team = (coordinator.build(), researcher.build(), coder.build(), critic.build())
    return {agent.name: agent for agent in team}


def voices() -> dict[str, Agent]:
    """Further prompts of the same agents, used inside the graph only."""
    return {
        coordinator.WRITER: coordinator.writer(),
        coordinator.REWRITER: coordinator.rewriter(),
        researcher.GATHERER: researcher.gatherer(),
        researcher.SUMMARISER: researcher.summariser(),
        researcher.CONDENSER: researcher.condenser(),
        critic.CHECKER: critic.checker(),
        critic.READER: critic.reader(),
    }
