# Sourced by everything in scripts/: makes .venv with the pinned versions of constraints.txt.
# When the stamp in .venv fits there is nothing to do, and pip is not even asked.
# The project itself is not installed: it runs from this tree.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
python=$root/.venv/bin/python

# What the environment depends on: the pins, the dependency lists, and where the tree lies
# (console scripts hold the path of their interpreter).
wanted_stamp() {
  {
    echo "$root $1"
    cat "$root/constraints.txt"
    sed -n '/^requires-python/p; /^dependencies = \[/,/^\]/p; /^\[project.optional-dependencies\]/,/^$/p' \
      "$root/pyproject.toml"
  } | cksum
}

find_python() {
  local candidate
  for candidate in python3.11 python3 python3.12 python3.13 python3.14; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  echo "ENV: no Python 3.11 or newer with venv was found; install one (Debian: python3 python3-venv)" >&2
  return 4
}

# Whether .venv was made for a kind that holds all of KIND's packages: test holds run's, and run holds node's.
is_ready() {
  local kinds="test" kind
  case $1 in
    node) kinds="node run test" ;;
    run) kinds="run test" ;;
    docs) kinds="docs test" ;;
  esac
  for kind in $kinds; do
    if [ "$(cat "$root/.venv/.chorus-$kind" 2>/dev/null)" = "$(wanted_stamp "$kind")" ]; then
      return 0
    fi
  done
  return 1
}

# ensure_environment KIND: KIND is node (a device: no Ray), run (with Flower's simulation), docs (the site's generator),
# or test (run, docs and the extras test, lint and bench).
ensure_environment() {
  local kind=$1 extras="" stamp base
  [ "$kind" = run ] && extras="simulation"
  [ "$kind" = docs ] && extras="docs"
  [ "$kind" = test ] && extras="simulation test lint bench docs"
  stamp=$(wanted_stamp "$kind")
  if [ -x "$python" ] && is_ready "$kind"; then
    return
  fi
  base=$(find_python) || return
  echo "setting up .venv for $kind with $("$base" --version) (about a minute, once) ..." >&2
  # A tree that was moved or an interpreter that went away: begin again.
  if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    ! grep -qsF "$root/.venv" "$root/.venv/bin/pip"; then
    if [ -L "$root/.venv" ]; then
      echo "ENV: .venv is a link, and making it anew would empty another tree's; remove the link, then try again" >&2
      return 4
    fi
    "$base" -m venv --clear "$root/.venv" || return 4
  fi
  "$python" - "$root/pyproject.toml" $extras >"$root/.venv/wanted.txt" <<'PYTHON' || return 4
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)["project"]
wanted = project["dependencies"] + [
    line for extra in sys.argv[2:] for line in project["optional-dependencies"][extra]
]
print(*wanted, sep="\n")
PYTHON
  if ! "$python" -m pip install -qq --disable-pip-version-check \
    -c "$root/constraints.txt" -r "$root/.venv/wanted.txt"; then
    echo "ENV: pip could not install the versions of constraints.txt (see above); check the network and try again" >&2
    return 4
  fi
  echo "$stamp" >"$root/.venv/.chorus-$kind"
}

# A real browser for the tests of pages. Only CI installs one, where it may: on anybody else's machine nothing outside
# the clone is touched, and those tests are skipped with a word about what is missing.
ensure_browser() {
  if command -v chromium >/dev/null && command -v chromedriver >/dev/null; then
    return
  fi
  if [ -n "${CI:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing chromium for the tests of pages (about a minute, once) ..." >&2
    if timeout 300 apt-get update -qq >/dev/null 2>&1 && DEBIAN_FRONTEND=noninteractive timeout 300 \
      apt-get install -qq -y --no-install-recommends chromium chromium-driver fonts-dejavu-core >/dev/null 2>&1; then
      return
    fi
    echo "no chromium could be installed; tests of pages are skipped" >&2
  fi
}
