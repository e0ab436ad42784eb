"""The `xmkd` command as a person types it."""

import json
import os
import subprocess
import sys

import pytest


def xmkd(*arguments, cwd=None, **environment):
    command = [sys.executable, "-m", "xmkd_lib.cli", *arguments]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200", **environment}
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def test_run_writes_a_result_and_prints_both_epochs(tmp_path):
    done = xmkd(
        "run",
        "--dataset",
        "people",
        "--method",
        "soft_feature",
        "--preset",
        "smoke",
        "--set",
        "epochs=3",
        "--out",
        str(tmp_path / "one"),
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "one" / "result.json").read_text())
    assert result["settings"]["epochs"] == 3
    assert "margin auto" in done.stdout
    assert "chosen on validation" in done.stdout
    assert f"{result['metrics']['test_eer']:.4f}" in done.stdout
    assert "synthetic" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--method", "sofft"], "Did you mean 'soft'"),
        (["run", "--dataset", "peple"], "Did you mean 'people'"),
        (["run", "--set", "epoch=3"], "Did you mean 'epochs'"),
        (["run", "--set", "epochs"], "write NAME=VALUE"),
        (["run", "--set", "epochs=many"], "'epochs' is 'many'"),
        (["run", "--set", 'dataset_params={"identitys": 4}'], "Did you mean 'identities'"),
        (["run", "--preset", "tiny"], "Unknown preset 'tiny'"),
        (["sweep", "run", "nowhere.yaml"], "nowhere.yaml"),
        (["sweep", "report", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_end_with_one_clear_message(tmp_path, arguments, message):
    done = xmkd(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.replace("\n", " ")
    assert list(tmp_path.iterdir()) == [], "nothing half-written"


def test_missing_real_data_says_what_where_and_how(tmp_path):
    done = xmkd("run", "--dataset", "digits", "--preset", "smoke", XMKD_DATA=str(tmp_path))
    assert done.returncode == 2
    assert "fsdd" in done.stderr
    assert str(tmp_path) in done.stderr
    assert "free-spoken-digit-dataset" in done.stderr


@pytest.mark.parametrize("command", [[], ["run"], ["doctor"], ["sweep", "run"], ["sweep", "report"], ["data", "list"]])
def test_help_shows_an_example(command):
    done = xmkd(*command, "--help")
    assert done.returncode == 0
    assert "xmkd sweep run notebooks/sweeps/quick.yaml" in done.stdout or "Example: " in done.stdout


def test_doctor_and_data_list():
    done = xmkd("doctor")
    assert done.returncode == 0, done.stdout
    assert "torch" in done.stdout
    assert "device" in done.stdout
    listed = xmkd("data", "list").stdout
    assert "people" in listed
    assert "digits" in listed


def test_run_takes_a_list_of_terms(tmp_path):
    terms = '[{"loss": "angular", "margin": {"quantile": 0.5}, "weight": 2.0}]'
    done = xmkd("run", "--method", terms, "--preset", "smoke", "--set", "epochs=1")
    assert done.returncode == 0, done.stderr
    assert "cross-entropy + 2·angular (hinge, margin 0.5-quantile)" in done.stdout
    assert "Warning" not in done.stderr
