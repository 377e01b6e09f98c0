"""Starts a gateway in front of three kinds of server, and hands out real clients for it.

(a) the embedded model, (b) a real llama.cpp server that is not ours, (c) a fake upstream that fails on command.

Environment: FREEHOLD_BIN, FREEHOLD_FAKE_UPSTREAM (binaries), FREEHOLD_TEST_MODEL (a GGUF file).
"""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import uuid

import anthropic
import httpx
import openai
import pytest

MODEL_NAME = "smollm2-135m-instruct"
START_TIMEOUT_S = 120


def required(name):
    value = os.environ.get(name)
    if not value or not pathlib.Path(value).exists():
        raise pytest.UsageError(f"{name} must name an existing file; conformance/run sets it")
    return value


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until_ready(url, process, what):
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{what} exited with {process.returncode}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, timeout=2).status_code == 200:
                return
        time.sleep(0.1)
    raise RuntimeError(f"{what} was not ready within {START_TIMEOUT_S} s")


@contextlib.contextmanager
def running(command, log, **options):
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **options)
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    return tmp_path_factory.mktemp("conformance")


class Fake:
    """The fake upstream and its control endpoints."""

    def __init__(self, url):
        self.url = url
        self.http = httpx.Client(base_url=url, timeout=10)

    def reset(self):
        self.http.post("/__reset").raise_for_status()

    def script(self, **script):
        self.http.post("/__script", json=script).raise_for_status()

    def log(self):
        return self.http.get("/__log").raise_for_status().json()["requests"]


@pytest.fixture(scope="session")
def fake_process():
    process = subprocess.Popen(
        [required("FREEHOLD_FAKE_UPSTREAM"), "--model", "fake-model", "--until-stdin-closes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    yield process.stdout.readline().strip()
    process.stdin.close()
    process.wait(timeout=10)


@pytest.fixture
def fake(fake_process):
    fake = Fake(fake_process)
    fake.reset()
    return fake


@pytest.fixture(scope="session")
def llama_server(workspace):
    """A llama.cpp server from a registry package: a real self-hosted server that is not ours."""
    port = free_port()
    script = pathlib.Path(__file__).with_name("llama_server.py")
    command = [sys.executable, str(script), required("FREEHOLD_TEST_MODEL"), MODEL_NAME, str(port)]
    log = workspace / "llama-server.log"
    with running(command, log, stdin=subprocess.PIPE) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/health", process, "llama.cpp's server")
        yield url


class Gateway:
    """A running gateway."""

    def __init__(self, url, home, config, binary, process):
        self.url = url
        self.home = home
        self.config = config
        self.binary = binary
        self.process = process

    def openai(self, **options):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", max_retries=0, **options)

    def anthropic(self, **options):
        return anthropic.Anthropic(base_url=self.url, api_key="none", max_retries=0, **options)

    def cli(self, *arguments):
        environment = {**os.environ, "FREEHOLD_HOME": str(self.home)}
        command = [self.binary, "--config", str(self.config), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    def outcome(self, request_id):
        """The ledger's record of a request, once it is there."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            found = self.cli("explain", request_id, "--json")
            if found.returncode == 0:
                record = json.loads(found.stdout)
                return record.get("outcome", record)
            time.sleep(0.2)
        raise AssertionError(f"{request_id} is not in the ledger: {found.stderr}")


@pytest.fixture(scope="session")
def gateway(workspace, fake_process, llama_server):
    binary = required("FREEHOLD_BIN")
    port, admin_port = free_port(), free_port()
    config = workspace / "freehold.yaml"
    config.write_text(
        f"""
discover: false
server: {{listen: "127.0.0.1:{port}", admin: "127.0.0.1:{admin_port}"}}
ledger: {{directory: "{workspace / 'ledger'}"}}
backends:
  local:
    type: embedded
    slots: 4
    threads: 1
    usd_per_hour: 0.36
    models:
      - {{name: {MODEL_NAME}, file: "{required('FREEHOLD_TEST_MODEL')}", context_tokens: 4096}}
  llamacpp:
    type: llama-cpp
    base_url: {llama_server}/v1
    usd_per_hour: 0.36
    models:
      - {{name: {MODEL_NAME}, context_tokens: 4096}}
  fake:
    type: openai
    base_url: {fake_process}/v1
    api_key: fake-key
    any_model: true
    models: [{{name: fake-model, price: {{input_usd_per_million: 1, output_usd_per_million: 2}}}}]
  fake-anthropic:
    type: anthropic
    base_url: {fake_process}/v1
    api_key: fake-key
    any_model: true
    models: [{{name: fake-model, price: {{input_usd_per_million: 1, output_usd_per_million: 2}}}}]
routes:
  claude-3-haiku-20240307: {{targets: [fake-anthropic/fake-model]}}
""",
        encoding="utf-8",
    )
    environment = {**os.environ, "FREEHOLD_HOME": str(workspace)}
    command = [binary, "serve", "--config", str(config)]
    with running(command, workspace / "gateway.log", env=environment) as process:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{url}/health/readiness", process, "the gateway")
        yield Gateway(url, workspace, config, binary, process)
    sys.stderr.write(f"\nlogs: {workspace}\n")


REAL_MODELS = [f"local/{MODEL_NAME}", f"llamacpp/{MODEL_NAME}"]
FAKE_MODELS = ["fake/fake-model", "fake-anthropic/fake-model"]


@pytest.fixture(params=REAL_MODELS + FAKE_MODELS)
def model(request):
    """Every deployment: real and fake, in both dialects."""
    return request.param


@pytest.fixture(params=REAL_MODELS)
def real_model(request):
    """Deployments with a real model behind them."""
    return request.param


@pytest.fixture(params=[REAL_MODELS[0], *FAKE_MODELS])
def tool_model(request):
    """Deployments that call tools. The llama.cpp server does not: this model's own template knows no tools, and the
    server then leaves them out."""
    return request.param


@pytest.fixture(params=FAKE_MODELS)
def fake_model(request):
    """The fake upstream, in both dialects."""
    return request.param


@pytest.fixture(params=FAKE_MODELS)
def faulty_model(request):
    """The fake under a name of its own: a broken deployment is avoided for a while, as it should be."""
    backend = request.param.split("/")[0]
    return f"{backend}/model-{uuid.uuid4().hex[:8]}"
