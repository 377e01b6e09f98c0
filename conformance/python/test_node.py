"""Runs the Node clients' suite against the same gateway."""

import os
import pathlib
import shutil
import subprocess

NODE_SUITE = pathlib.Path(__file__).parents[1] / "node"


def test_node_clients(gateway, fake):
    node = shutil.which("node")
    assert node, "node is not installed; make setup installs it"
    environment = {**os.environ, "FREEHOLD_URL": gateway.url, "FAKE_URL": fake.url}
    command = [node, "--test", "--test-concurrency=1", "clients.test.js"]
    result = subprocess.run(
        command, cwd=NODE_SUITE, env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.returncode == 0, result.stdout + result.stderr
