"""Two independent leak suites against a gateway that masks: canarywire and pii-leak-benchmark.

Bounded; FREEHOLD_LEAKS=whole runs all that they have.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import pytest
from conftest import free_port, required, running, wait_until_ready

WHOLE = os.environ.get("FREEHOLD_LEAKS") == "whole"
SCRIPTS = pathlib.Path(sys.executable).parent


# Where canarywire's requests go: its upstream answers in the dialect that the client spoke.
SURFACES = {
    "openai": ("openai-chat", "/v1/chat/completions", "capture/canarywire-test"),
    "anthropic": ("anthropic-messages", "/v1/messages", "capture-anthropic/canarywire-test"),
}


@pytest.fixture
def surface(request):
    """The surface that a test asks for; OpenAI's, unless it says more."""
    return SURFACES[getattr(request, "param", "openai")]


@pytest.fixture
def masking(tmp_path, surface):
    """A gateway whose only backend is an address where a suite listens: its URL, and that port."""
    port, admin_port, capture_port = free_port(), free_port(), free_port()
    config = tmp_path / "freehold.yaml"
    config.write_text(
        f"""
discover: false
server: {{listen: "127.0.0.1:{port}", admin: "127.0.0.1:{admin_port}"}}
ledger: {{directory: "{tmp_path / 'ledger'}"}}
policy:
  # Identifiers may leave, masked.
  outside_up_to: confidential
  rules:
    - name: mask-what-leaves
      mask: [identifiers, financial, contact, names, secrets]
      redact_answers: [identifiers, financial, contact, names, secrets]
backends:
  capture:
    type: openai
    base_url: http://127.0.0.1:{capture_port}/v1
    api_key: capture-key
    any_model: true
  capture-anthropic:
    type: anthropic
    base_url: http://127.0.0.1:{capture_port}/v1
    api_key: capture-key
    any_model: true
routes:
  canarywire-test: {{targets: [{surface[2]}]}}
  "*": {{targets: ["capture/*"]}}
""",
        encoding="utf-8",
    )
    environment = {**os.environ, "FREEHOLD_HOME": str(tmp_path)}
    command = [required("FREEHOLD_BIN"), "serve", "--config", str(config)]
    with running(command, tmp_path / "gateway.log", env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/health/liveliness", process, "the gateway")
        yield url, capture_port


def wait_until_open(port):
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"nothing listens on {port}")


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=540, **options)


@pytest.mark.timeout(560)
@pytest.mark.parametrize("surface", SURFACES, indirect=True)
def test_canarywire(masking, surface, tmp_path):
    url, capture_port = masking
    capture = f"127.0.0.1:{capture_port}"
    config = tmp_path / "canarywire.yaml"
    fragmentation = "" if WHOLE else """
  fragmentation:
    cases: [baseline, chunks, random-cuts]
    chunks: {sizes: [1, 4], phases: first}
    random_cuts: {samples: 2, max_cuts: 4}
    delay_ms: {min: 0, max: 0}"""
    config.write_text(
        f"""
seed: 7
capture: {{url: "http://{capture}"}}
target:
  base_url: {url}
  routes:
    - {{protocol: {surface[0]}, path: {surface[1]}}}
generators:
  baseline: {{enabled: true}}
  fault: {{enabled: false}}{fragmentation}
report: {{dir: "{tmp_path / 'report'}"}}
""",
        encoding="utf-8",
    )
    serve = [SCRIPTS / "canarywire", "serve", "--listen", capture]
    with running(serve, tmp_path / "capture.log", cwd=tmp_path):
        wait_until_open(capture_port)
        result = run([SCRIPTS / "canarywire", "run", "--config", config], cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.timeout(560)
def test_pii_leak_benchmark(masking, tmp_path):
    url, capture_port = masking
    out = tmp_path / "report"
    command = [
        SCRIPTS / "pii-leak-benchmark", "ci", "--target-base-url", f"{url}/v1",
        "--capture-port", str(capture_port), "--out", out, "--seed", "0123456789abcdef",
        "--iterations", "20" if WHOLE else "5",
    ]  # fmt: skip
    result = run(command, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.timeout(560)
def test_pii_leak_benchmark_restores_streams(masking, tmp_path):
    url, capture_port = masking
    summary = tmp_path / "summary.json"
    command = [
        SCRIPTS / "pii-leak-benchmark-v2", "--only", "freehold", "--out", tmp_path / "report",
        "--gateway-url", f"{url}/v1/chat/completions", "--upstream-port", str(capture_port),
        "--seed", "a1b2c3d4e5f60001", "--json-out", summary,
    ]  # fmt: skip
    result = run(command, cwd=tmp_path)
    assert summary.exists(), result.stdout + result.stderr
    [row] = json.loads(summary.read_text())["rows"]
    found = {
        name: row[name]
        for name in ("fidelity_rate", "leak_single_chunk", "leak_adversarial", "delta_frag", "request_path_leak")
    }
    assert found == {
        "fidelity_rate": 1.0,
        "leak_single_chunk": 0.0,
        "leak_adversarial": 0.0,
        "delta_frag": 0.0,
        "request_path_leak": [],
    }
    assert row["outcome"] == "pass" and row["inconclusive"] == 0
