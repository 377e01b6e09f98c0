"""Two real models: the demo moves a flow between them, and drift finds one in the place of the other."""

import json
import os
import subprocess

import pytest
from conftest import free_port, required, running, wait_until_ready

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def demo(workspace):
    """The demo's directory, with a copy of the model in 8-bit weights, and what it told."""
    folder = workspace / "demo"
    command = [required("FREEHOLD_BIN"), "demo", "--json", "--keep", str(folder)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert "This is a demo" in ran.stderr
    return folder, json.loads(ran.stdout)


def test_the_demo_ends_as_it_must(demo):
    _, told = demo
    assert told["demo"] is True
    moved, damaged = told["rollouts"]
    stages = [event["stage"] for event in moved["trail"]]
    assert stages == ["shadow", {"canary": 0}, {"canary": 1}, "promoted"]
    assert moved["trail"][1]["why"].startswith("proven by a margin of 0.25")
    assert [event["stage"] for event in damaged["trail"]] == ["shadow", "rolled_back"]
    assert damaged["trail"][1]["why"].startswith("scores: -")


QUESTIONS = [
    "Name three fruits.",
    "What is the capital of France?",
    "Describe the sea.",
    "Why is the sky blue?",
    "Write a line about winter.",
    "How do birds fly?",
    "What do bakers make?",
    "Tell a short story about a dog.",
    "What is a bridge for?",
    "Explain rain to a child.",
    "What is a good name for a cat?",
    "How is tea made?",
    "Write a greeting to a friend.",
    "What do clouds look like?",
    "Why do leaves fall?",
    "What is a library?",
]


def test_another_model_behind_the_same_name_is_found(demo, workspace):
    folder, _ = demo
    probes = workspace / "probes.jsonl"
    probes.write_text("\n".join(json.dumps({"input": question}) for question in QUESTIONS))
    record = workspace / "drift.jsonl"
    binary = required("FREEHOLD_BIN")
    watch = ["--baseline-runs", "6", "--ignore", "slow"]
    port = free_port()
    environment = {**os.environ, "FREEHOLD_HOME": str(workspace / "drift-home")}

    def probe(model, times):
        config = workspace / "drift.yaml"
        backend = {"type": "embedded", "models": [{"name": "model", "file": str(model)}]}
        config.write_text(
            json.dumps({"discover": False, "server": {"admin": None}, "backends": {"house": backend}})
        )
        serve = [binary, "--config", str(config), "serve", "--listen", f"127.0.0.1:{port}"]
        with running(serve, workspace / "drift.log", env=environment) as process:
            url = f"http://127.0.0.1:{port}"
            wait_until_ready(f"{url}/health/readiness", process, "the gateway")
            asked = [
                *("drift", "probe", "--probes", str(probes), "--models", "house/model", "--url", url),
                *("--record", str(record), "--times", str(times), "--max-tokens", "20"),
                *watch,
            ]
            return subprocess.run([binary, *asked], capture_output=True, text=True, env=environment)

    before = probe(required("FREEHOLD_TEST_MODEL"), 7)
    assert before.returncode == 0, before.stdout + before.stderr
    after = probe(folder / "large.gguf", 5)
    assert after.returncode == 1, after.stdout + after.stderr
    shown = subprocess.run(
        [binary, "drift", "show", str(record), *watch], capture_output=True, text=True, env=environment
    )
    assert shown.returncode == 1
    assert "CHANGED: house/model" in shown.stdout
    assert "probably with run 8" in " ".join(shown.stdout.split())
