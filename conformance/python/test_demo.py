"""The demo: two real models, one promoted, one called back."""

import json
import os
import subprocess


def test_the_demo_ends_as_it_must():
    ran = subprocess.run(
        [os.environ["FREEHOLD_BIN"], "demo", "--json"], capture_output=True, text=True, timeout=900
    )
    assert ran.returncode == 0, ran.stderr
    assert "This is a demo" in ran.stderr
    told = json.loads(ran.stdout)
    assert told["demo"] is True
    moved, damaged = told["rollouts"]
    stages = [event["stage"] for event in moved["trail"]]
    assert stages == ["shadow", {"canary": 0}, {"canary": 1}, "promoted"]
    assert moved["trail"][1]["why"].startswith("proven by a margin of 0.2")
    assert [event["stage"] for event in damaged["trail"]] == ["shadow", "rolled_back"]
    assert damaged["trail"][1]["why"].startswith("scores: -")
