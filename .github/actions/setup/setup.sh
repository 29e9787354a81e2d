#!/usr/bin/env bash
# Make .venv from the lock, hash by hash, then add titlebout and this repository's own package without looking at any index.
# Run by the setup action and by `make setup`; running it again brings an existing .venv up to date.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
supported=">=3.11,<3.14"
lock=${SETUP_LOCK:-requirements.lock}

fail() {
  printf '%s%s\n' "${GITHUB_ACTIONS:+::error::}" "$1" >&2
  exit 2
}

# True when the folder holds the project of that name.
is_project() {
  [[ -f $1/pyproject.toml ]] && grep -qE "^name *= *\"$2\" *$" "$1/pyproject.toml"
}

# The library travels with a generated repository; an action used from another repository brings its own.
find_library() {
  local folder
  for folder in vendor/titlebout . "$here/../../.."; do
    if is_project "$folder" titlebout; then
      printf '%s' "$folder"
      return
    fi
  done
  fail "titlebout is neither in vendor/titlebout nor beside this action; generate the repository again"
}

installed() {
  uv python find --system --no-python-downloads "$1" 2>/dev/null
}

# Print the Python to use. The action's input is taken as it is. The version in .python-version is used if it is here or,
# in a workflow, can be downloaded; otherwise any supported Python on this machine comes before a download.
choose_python() {
  local wanted=${SETUP_PYTHON_VERSION:-}
  if [[ -z $wanted && -f .python-version ]]; then
    wanted=$(<.python-version)
    if ! installed "$wanted" >/dev/null && ! { [[ -n ${GITHUB_ACTIONS:-} ]] && uv python install --quiet "$wanted" 2>/dev/null; }; then
      printf '%sPython %s of .python-version is not installed; another supported version is used\n' "${GITHUB_ACTIONS:+::notice::}" "$wanted" >&2
      wanted=
    fi
  fi
  printf '%s' "${wanted:-$(installed "$supported" || printf '%s' "$supported")}"
}

command -v uv >/dev/null || fail "uv is not installed; use astral-sh/setup-uv before this step, or see https://docs.astral.sh/uv"
[[ -f $lock ]] || fail "$lock is not here; run this at the top of the repository"

library=$(find_library)
editable=(--editable "$library")
[[ $library == . || ! -f pyproject.toml ]] || editable+=(--editable .)

export VIRTUAL_ENV=$PWD/.venv
uv venv --quiet --allow-existing --python "$(choose_python)" .venv
uv pip sync --quiet --require-hashes "$lock"
uv pip install --quiet --no-deps --no-build-isolation "${editable[@]}"

version=$(.venv/bin/titlebout --version)
printf '%s, %s, %s\n' "$(uv --version)" "$(.venv/bin/python --version)" "$version"
[[ -z ${GITHUB_PATH:-} ]] || printf '%s\n' "$VIRTUAL_ENV/bin" >>"$GITHUB_PATH"
[[ -z ${GITHUB_OUTPUT:-} ]] || printf 'titlebout-version=%s\n' "${version##* }" >>"$GITHUB_OUTPUT"
