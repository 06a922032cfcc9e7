"""`make lint`: ruff, the shell scripts, the compose file, and what must not be in tracked files.

Prints one line a check and what it found; ends with 1 when anything was found.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
RUFF = [sys.executable, "-m", "ruff"]
# Names and domains apart: this file is looked at too.
HOSTS = [("pypi", "org"), ("pythonhosted", "org"), ("npmjs", "org"), ("crates", "io"), ("proxy", "golang")]
HOSTS += [(r"repo\d?", "maven"), ("maven", "apache", "org/maven"), ("deb", "debian")]
# A clone must build behind any mirror, on any machine, and hold nothing secret.
FORBIDDEN = {
    "a package registry's host": "|".join("[.]".join(parts) for parts in HOSTS),
    "a path of one machine": r"(?<![\w.}])/(?:work|root|home/\w+|Users/\w+|mnt|tmp/\w)/",
    "a secret": r"AKIA[0-9A-Z]{16}|gh[pousr]_\w{36}|-----BEGIN [A-Z ]*PRIVATE KEY|"
    r"(?i:secret_access_key|password|token)['\"]?\s*[=:]\s*['\"][A-Za-z0-9/+_-]{16,}['\"]",
}


def main() -> int:
    checks = {
        "ruff check": lambda: run(*RUFF, "check", "--quiet", "--output-format=concise", "."),
        "ruff format": lambda: run(*RUFF, "format", "--check", "--quiet", "--output-format=concise", "."),
        "shell scripts parse": shell_scripts,
        "docker-compose.yml": compose,
        "Dockerfile": lambda: run(str(Path(sys.executable).parent / "hadolint"), "infra/airflow/Dockerfile"),
        "nothing forbidden in tracked files": forbidden,
    }
    failed = []
    for name, check in checks.items():
        found = check()
        print(f"lint: {name}: {'failed' if found else 'ok'}")
        if found:
            print(found.rstrip())
            failed.append(name)
    print(f"lint: failed: {', '.join(failed)}" if failed else "lint: all ok")
    return 1 if failed else 0


def run(*command: str) -> str:
    """What a command says when it fails, or nothing."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return "" if done.returncode == 0 else (done.stdout + done.stderr) or f"exit status {done.returncode}"


def tracked() -> list[Path]:
    """Files that git has or would add. (A file deleted but not yet staged is still listed: left out.)"""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def shell_scripts() -> str:
    scripts = [file for file in tracked() if file.suffix == ".sh"] + [ROOT / ".ci" / "run"]
    return "".join(run("bash", "-n", str(script)) for script in scripts)


def compose() -> str:
    """Compose's own judgement where it is installed; else that it is YAML, and what we ask of it in any case."""
    file = ROOT / "docker-compose.yml"
    text = file.read_text()
    problems = []
    try:
        services = yaml.safe_load(text)["services"]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        return f"{file.name}: {error}"
    for name, service in services.items():
        if not re.search(r":[\w.-]*\d", service.get("image", "")) or service["image"].endswith(":latest"):
            problems.append(f"service {name}: image is not pinned to a version")
        if name != "init" and "healthcheck" not in service:
            problems.append(f"service {name}: no healthcheck")
        if "limits" not in service.get("deploy", {}).get("resources", {}):
            problems.append(f"service {name}: no limits of cpu and memory")
        problems += [f"service {name}: port {p} is open to all" for p in service.get("ports", []) if p[:4] != "127."]
    for name, default in re.findall(r"\$\{(\w*(?:PASSWORD|SECRET|KEY)\w*)(:-[^}]*)?\}", text):
        problems.append(f"{name} may be empty or has a default ({default}): use ${{{name}:?…}}")
    if shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0:
        needed = set(re.findall(r"\$\{(\w+):\?", text))
        values = [f"{name}=x" for name in sorted(needed)]
        problems.append(run("env", *values, "docker", "compose", "--profile=*", "-f", str(file), "config", "--quiet"))
    return "\n".join(filter(None, problems))


def forbidden() -> str:
    found = []
    for file in tracked():
        try:
            lines = file.read_text().splitlines()
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(lines, 1):
            for what, pattern in FORBIDDEN.items():
                if re.search(pattern, line):
                    found.append(f"{file.relative_to(ROOT)}:{number}: {what}: {line.strip()[:100]}")
    return "\n".join(found)


if __name__ == "__main__":
    sys.exit(main())
