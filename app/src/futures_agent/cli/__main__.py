"""`python -m futures_agent.cli` is agentctl."""

from futures_agent.cli import main

main()
