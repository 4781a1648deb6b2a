"""Entering test hosts with one `podman exec` per module instead of five: modules go through its stdin."""

from __future__ import annotations

from ansible_collections.containers.podman.plugins.connection.podman import Connection as Podman

DOCUMENTATION = """
name: podman_piped
short_description: Run modules in a podman container, piped into the interpreter
description: Like containers.podman.podman, with pipelining.
options:
  remote_addr:
    description: The container's name.
    default: inventory_hostname
    vars:
      - name: inventory_hostname
  podman_extra_args:
    description: Not used here.
    default: ""
  podman_executable:
    description: The program.
    default: podman
"""


class Connection(Podman):
    """podman exec, with a stdin."""

    transport = "podman_piped"
    has_pipelining = True

    def _podman(self, cmd, cmd_args=None, in_data=None, use_container_id=True):
        if in_data is not None:
            cmd = [*cmd, "--interactive"]
        return super()._podman(cmd, cmd_args, in_data, use_container_id)

    def _connect(self):
        """Skip the mount of the container's files: what is not piped goes through `podman cp`."""
        self._connected = True
