"""The files for operators in `seatsync/serve/deploy`: what they refer to exists, and their programs take them.

nginx and HAProxy are started with theirs in `tests/integration/test_nginx.py` and `tests/integration/test_haproxy.py`.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from prometheus_client import ProcessCollector

from seatsync.config import ConfigError, load_settings
from seatsync.core.telemetry.metrics import Metrics
from seatsync.core.timing import Timing
from seatsync.core.websocket.frames import close_label
from seatsync.errors import BY_CODE
from seatsync.hall.writes import group_commit
from tests.support.readme import ROOT
from tests.support.site import DEPLOY, settings_beside

PROXIES = ("nginx.conf", "haproxy.cfg")

FIRING = {
    "SeatsyncDown": {'up{job="seatsync"}': "0x20"},
    "SeatsyncFeedLost": {"seatsync_feed_live": "0x20"},
    "SeatsyncNotificationQueueFilling": {"seatsync_notification_queue_usage": "0.6x20"},
    "SeatsyncRequestsFail": {
        'seatsync_messages_total{outcome="success"}': "0+90x20",
        'seatsync_messages_total{outcome="ServiceUnavailable"}': "0+10x20",
    },
    "SeatsyncFull": {'seatsync_closes_total{code="1013"}': "0+1x20"},
    "SeatsyncUpdatesSlow": {
        f'seatsync_commit_to_push_seconds_bucket{{le="{bound}"}}': f"0+{count}x20"
        for bound, count in (("0.5", 90), ("1.0", 100), ("+Inf", 100))
    },
    "SeatsyncSlowClients": {"seatsync_clients_behind": "2x20", "seatsync_connections": "10x20"},
    "SeatsyncPoolInUse": {"seatsync_pool_in_use": "10x20", "seatsync_pool_size": "10x20"},
    "SeatsyncForeignNotifications": {"seatsync_notifications_refused_total": "0+1x20"},
    "SeatsyncLocked": {'seatsync_auth_events_total{event="auth.locked",reason="device"}': "0+1x20"},
    "SeatsyncSignInsFail": {'seatsync_auth_events_total{event="auth.login_failed",reason="wrong_code"}': "0+90x30"},
    "SeatsyncFileDescriptors": {
        'process_open_fds{job="seatsync"}': "90x20",
        'process_max_fds{job="seatsync"}': "100x20",
    },
    "SeatsyncVersions": {f'seatsync_build_info{{version="{one}"}}': "1x80" for one in ("1.0", "1.1")},
}
"""For each alert the series, as promtool writes them, that set it off."""


def needs(program: str) -> pytest.MarkDecorator:
    """Skip a test where a program is not installed."""
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not installed here")


def run(*command: str | Path) -> None:
    """Run a command; its output is the message where it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def alerts() -> list[dict[str, Any]]:
    """The rules."""
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def dashboard() -> Any:
    """The dashboard."""
    return json.loads((DEPLOY / "grafana.json").read_text())


def expressions() -> Iterator[str]:
    """Every expression on the dashboard."""
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])


def series() -> set[str]:
    """The names of all series that a server has, and the one that Prometheus makes of each scrape."""
    metrics = Metrics()
    group_commit(SimpleNamespace(unlocked=None), SimpleNamespace(), metrics, Timing())  # type: ignore[arg-type]
    found = {"up"}
    for family in [*metrics.collect(), *ProcessCollector(registry=None).collect()]:
        ends = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("_total",)}.get(family.type, ("",))
        found |= {family.name + end for end in ends}
    return found


def test_every_metric_exists() -> None:
    """In every rule and on the dashboard, with labels that it has; queries of variables, too."""
    variables = [str(one["query"]) for one in dashboard()["templating"]["list"]]
    for text in [*(rule["expr"] for rule in alerts()), *expressions(), *variables]:
        named = set(re.findall(r"\b((?:seatsync|process)_\w+|up)\b", text))
        assert named <= series(), text
        for code in re.findall(r'code="(\d+)"', text):
            assert close_label(int(code)) == code
        for outcomes in re.findall(r'outcome=~"([^"]+)"', text):
            assert set(outcomes.split("|")) <= set(BY_CODE)


def test_every_metric_of_the_server_is_on_the_dashboard() -> None:
    """Whoever adds a metric decides where it is seen."""
    text = "".join(expressions())
    assert {name for name in series() if name.startswith("seatsync_") and not name.endswith(("_bucket", "_count"))} <= {
        re.sub("_bucket$", "_sum", name) for name in re.findall(r"seatsync_\w+", text)
    }


def test_panels_do_not_overlap() -> None:
    """In the 24 columns of Grafana's grid."""
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"])


@needs("promtool")
def test_prometheus_takes_the_files(tmp_path: Path) -> None:
    """The rules, the scrape, and each expression of the dashboard."""
    run("promtool", "check", "rules", DEPLOY / "alerts.yml")
    token = tmp_path / "token"
    token.write_text("t" * 16)
    text = (DEPLOY / "prometheus.yml").read_text().replace("/etc/prometheus/seatsync-token", str(token))
    (tmp_path / "prometheus.yml").write_text(text)
    shutil.copy(DEPLOY / "alerts.yml", tmp_path)
    run("promtool", "check", "config", tmp_path / "prometheus.yml")
    rules = [
        {"record": f"panel:{n}", "expr": text.replace("$__rate_interval", "1m")} for n, text in enumerate(expressions())
    ]
    (tmp_path / "panels.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    run("promtool", "check", "rules", tmp_path / "panels.yml")


@needs("promtool")
def test_every_alert_fires(tmp_path: Path) -> None:
    """For the series that mean it, and none for any other alert's."""
    rules = alerts()
    assert list(FIRING) == [rule["alert"] for rule in rules]
    cases = [
        {
            "interval": "1m",
            "input_series": [{"series": name, "values": values} for name, values in FIRING[rule["alert"]].items()],
            "alert_rule_test": [
                {
                    "eval_time": "80m" if rule.get("for") == "1h" else "20m",
                    "alertname": other["alert"],
                    "exp_alerts": _fired(rule) if other is rule else [],
                }
                for other in rules
            ],
        }
        for rule in rules
    ]
    text = yaml.safe_dump({"rule_files": [str(DEPLOY / "alerts.yml")], "evaluation_interval": "1m", "tests": cases})
    (tmp_path / "test.yml").write_text(text)
    run("promtool", "test", "rules", tmp_path / "test.yml")


def _fired(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """An alert as promtool expects it: the labels of its series that its expression keeps, and the rule's."""
    kept = {"job": "seatsync"} if rule["alert"] in {"SeatsyncDown", "SeatsyncFileDescriptors"} else {}
    if rule["alert"] == "SeatsyncLocked":
        kept = {"reason": "device"}
    return [{"exp_labels": rule["labels"] | kept, "exp_annotations": rule["annotations"]}]


@pytest.mark.parametrize("name", PROXIES)
def test_the_settings_beside_a_proxy_are_settings(name: str) -> None:
    """They are read without a fault, and a balancer's probes fail before its server drains."""
    text = (DEPLOY / name).read_text()
    settings = load_settings(settings_beside(text), dotenv=None)
    assert settings.warnings() == []
    for probe in re.finditer(r"check inter (\d+)s fall (\d+)", text):
        assert settings.drain_delay_s > int(probe[1]) * int(probe[2])


def unit() -> dict[str, list[str]]:
    """The directives of the systemd unit, each with its values."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / "seatsync.service").read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_unit_hands_the_credentials_to_the_server(tmp_path: Path) -> None:
    """Those that a server with a database needs, and it does not start without one of them."""
    assert unit()["ExecStart"] == ["/opt/seatsync/bin/seatsync serve"]
    (environment,) = unit()["Environment"]
    environ = dict(item.split("=", 1) for item in environment.replace("%d", str(tmp_path)).split())
    texts = {"database_url": "postgresql://db.example.org/seatsync", "jwt_secret": "j" * 32, "secrets_key": "s" * 32}
    for credential in unit()["LoadCredential"]:
        with pytest.raises(ConfigError):
            load_settings(environ, dotenv=None)
        name = credential.partition(":")[0]
        (tmp_path / name).write_text(f"{texts[name]}\n")
    assert load_settings(environ, dotenv=None).database_url == texts["database_url"]


def test_the_unit_has_the_time_to_stop() -> None:
    """systemd kills it later than it ends by itself."""
    settings = load_settings({"DRAIN_DELAY": "5"}, dotenv=None)
    needed_s = settings.drain_delay_s + settings.drain_timeout_s + Timing().worker_end_s
    assert int(unit()["TimeoutStopSec"][0]) > needed_s
    assert int(unit()["LimitNOFILE"][0]) > settings.max_connections


def test_the_unit_is_confined() -> None:
    """A user of its own, no rights, and nothing that it can write."""
    assert unit()["CapabilityBoundingSet"] == [""]
    for name in ("DynamicUser", "NoNewPrivileges", "ProtectHome", "PrivateDevices", "RestrictNamespaces"):
        assert unit()[name] == ["yes"]
    assert unit()["ProtectSystem"] == ["strict"]
    assert not {"User", "ReadWritePaths", "StateDirectory", "AmbientCapabilities"} & set(unit())


@needs("systemd-analyze")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Every directive is known, and its exposure is 2 of 10 at most; the program need not be installed here."""
    there = tmp_path / "seatsync.service"
    there.write_text((DEPLOY / "seatsync.service").read_text().replace("/opt/seatsync/bin/seatsync", sys.executable))
    run("systemd-analyze", "verify", there)
    run("systemd-analyze", "security", "--offline=true", "--threshold=20", there)


def test_everything_is_installed() -> None:
    """A wheel has all of the files, and the recipes for load tests."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    patterns = setup["options.package_data"]["seatsync"]
    assert {"serve/deploy/*", "load/recipes/*"} <= {pattern.strip() for pattern in patterns.split(",")}
    assert not [path for path in DEPLOY.iterdir() if path.is_dir()]
