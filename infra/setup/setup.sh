#!/usr/bin/env bash
# Makes .venv with all that recflow needs: packages, a Java that Spark runs on, the Delta and S3 jars (`make setup`).
# Each step is left out when it was done for these very inputs, so a second run takes less than a second.
# Settings: PYTHON (a Python 3.11 to use), JAVA_HOME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
venv=$root/.venv
share=$venv/share/recflow
python=$venv/bin/python
child=

say() { echo "setup: $*"; }
fail() {
    echo "setup: error: $*" >&2
    exit 1
}
trap '[ -z "$child" ] || kill -- "-$child" 2>/dev/null || true' EXIT
trap 'exit 130' INT TERM

# What a step was done for: its input files and where the project is (a venv does not survive a move).
fingerprint() { { echo "$root"; cat "$@"; } | cksum; }
is_done() { [ -f "$share/$1.done" ] && [ "$(cat "$share/$1.done")" = "$2" ]; }
set_done() { echo "$2" >"$share/$1.done"; }

# Run a command with its output in a log, and a sign of life from time to time. It gets a process group of its own (-m),
# so that all of it ends when this script is stopped.
visibly() {
    local log=$share/setup.log next=$((SECONDS + 15)) begun=$SECONDS
    set -m
    "$@" >"$log" 2>&1 </dev/null &
    child=$!
    set +m
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.2
        if [ "$SECONDS" -ge "$next" ]; then
            say "  $((SECONDS - begun)) s"
            next=$((SECONDS + 15))
        fi
    done
    local status=0
    wait "$child" || status=$?
    child=
    [ "$status" -eq 0 ] || tail -n 15 "$log" >&2
    return "$status"
}

is_python() { "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; }

make_venv() {
    if is_python "$python" && [ -f "$share/venv.done" ] && [ "$(cat "$share/venv.done")" = "$root" ]; then return; fi
    local found=
    for candidate in "${PYTHON:-}" python3.11 python3 python; do
        if [ -n "$candidate" ] && is_python "$candidate"; then
            found=$candidate
            break
        fi
    done
    [ -n "$found" ] || fail "needs Python 3.11: install it (Debian 12: apt-get install python3 python3-venv;" \
        "macOS: brew install python@3.11) or set PYTHON=/path/to/python3.11"
    say "making .venv with $("$found" -V)"
    rm -rf "$venv"
    if uv --version >/dev/null 2>&1; then
        uv venv --quiet --python "$found" "$venv" || fail "uv could not make .venv"
    else
        "$found" -m venv "$venv" ||
            fail "$found cannot make a venv: install its venv module (Debian: apt-get install python3-venv)"
    fi
    mkdir -p "$share"
    echo "$root" >"$share/venv.done"
}

# uv installs ten times as fast as pip. Where there is none, a pinned one goes into .venv; where that fails, pip serves.
uv_command() {
    if uv --version >/dev/null 2>&1; then
        echo uv
    else
        [ -x "$share/uv/bin/uv" ] || "$python" -m pip install --quiet --disable-pip-version-check --require-hashes \
            --target "$share/uv" -r infra/setup/uv.txt >/dev/null 2>&1 || true
        if "$share/uv/bin/uv" --version >/dev/null 2>&1; then echo "$share/uv/bin/uv"; fi
    fi
}

install_packages() {
    local inputs
    inputs=$(fingerprint requirements.lock)
    is_done packages "$inputs" && return
    local uv tries=0
    uv=$(uv_command)
    rm -f "$share/project.done"
    say "installing the packages of requirements.lock with $([ -n "$uv" ] && echo uv || echo pip)"
    until visibly install_locked "$uv"; do
        tries=$((tries + 1))
        [ "$tries" -lt 3 ] || fail "packages of requirements.lock could not be installed, see above"
        say "  try $tries of 3 failed, again in $((tries * 5)) s"
        sleep $((tries * 5))
    done
    set_done packages "$inputs"
}

install_locked() {
    if [ -n "$1" ]; then
        # Where Python may not keep what it compiles, all is compiled here: else every process would do it again.
        "$1" pip sync --python "$python" --require-hashes ${PYTHONDONTWRITEBYTECODE:+--compile-bytecode} requirements.lock
    else
        "$python" -m pip install --disable-pip-version-check --require-hashes -r requirements.lock
    fi
}

install_project() {
    local inputs
    inputs="$(fingerprint pyproject.toml) $(ls -d jobs dags/flowlib 2>/dev/null | tr '\n' ' ')"
    is_done project "$inputs" && return
    say "installing recflow from this folder (editable)"
    visibly install_editable "$(uv_command)" || fail "recflow could not be installed into .venv, see above"
    set_done project "$inputs"
}

install_editable() {
    if [ -n "$1" ]; then
        "$1" pip install --python "$python" --no-deps --no-build-isolation --editable .
    else
        "$python" -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
    fi
}

# Prints the home of a Java that Spark 4.2 runs on, if this is one.
java_home_of() {
    local shown version
    shown=$("$1" -XshowSettings:properties -version 2>&1) || return 1
    version=$(sed -n 's/^ *java\.specification\.version = //p' <<<"$shown")
    case $version in 17 | 18 | 19 | 20 | 21) sed -n 's/^ *java\.home = //p' <<<"$shown" ;; *) return 1 ;; esac
}

find_java() {
    local candidate
    for candidate in "${JAVA_HOME:+$JAVA_HOME/bin/java}" "$(command -v java || true)" /usr/lib/jvm/*/bin/java \
        /opt/homebrew/opt/openjdk@17/bin/java /usr/local/opt/openjdk@17/bin/java \
        /Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java; do
        if [ -x "$candidate" ] && java_home_of "$candidate"; then return; fi
    done
    return 1
}

install_java() {
    local how package
    if ! command -v apt-get >/dev/null; then
        return 1
    elif [ "$(id -u)" -eq 0 ]; then
        how="env DEBIAN_FRONTEND=noninteractive"
    elif sudo -n true 2>/dev/null; then
        how="sudo -n env DEBIAN_FRONTEND=noninteractive"
    else
        return 1
    fi
    say "no Java 17 here: installing it with apt-get"
    visibly $how apt-get update || true
    for package in openjdk-17-jre-headless openjdk-21-jre-headless; do
        visibly $how apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120 "$package" && return
    done
    return 1
}

set_java() {
    if ! java_home=$(find_java); then
        install_java && java_home=$(find_java) ||
            fail "Spark needs Java 17 (up to 21): install it (Debian 12, Ubuntu: apt-get install" \
                "openjdk-17-jre-headless; macOS: brew install openjdk@17) or set JAVA_HOME"
    fi
}

# pyspark's own launcher reads conf/spark-env.sh: so the Java found here serves however Spark is started.
write_java() {
    local conf=$venv/lib/python3.11/site-packages/pyspark/conf
    local text="# Written by \`make setup\`: the Java that was found fit for this Spark.
if [ -x '$java_home/bin/java' ]; then JAVA_HOME='$java_home'; fi"
    if [ ! -f "$conf/spark-env.sh" ] || [ "$(cat "$conf/spark-env.sh")" != "$text" ]; then
        mkdir -p "$conf"
        echo "$text" >"$conf/spark-env.sh"
        say "Spark uses the Java in $java_home"
    fi
}

fetch_jars() {
    local inputs jars
    jars=$(ls "$share/jars" 2>/dev/null || true)
    inputs="$(fingerprint infra/spark/jars.txt) $(cksum <<<"$jars")"
    is_done jars "$inputs" && return
    say "fetching the Delta and S3 jars of infra/spark/jars.txt (about 700 MB, once)"
    "$python" infra/spark/jars.py || exit 1
    set_done jars "$(fingerprint infra/spark/jars.txt) $(ls "$share/jars" | cksum)"
}

begun=$SECONDS
make_venv
set_java
install_packages
write_java
install_project
fetch_jars
say "ready ($((SECONDS - begun)) s)"
