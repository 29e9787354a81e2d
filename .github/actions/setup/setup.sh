#!/usr/bin/env bash
# Create .venv of a project from the lock file with verified hashes, then install titlebout, if it is source and not a
# release with a lock of its own, and the project's own package without an index. Run by the setup action and by `make setup`; a second run updates an existing .venv.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
supported=">=3.11,<3.14"
lock=${SETUP_LOCK:-requirements.lock}
release=requirements-titlebout.lock

fail() {
  printf '%s%s\n' "${GITHUB_ACTIONS:+::error::}" "$1" >&2
  exit 2
}

# In a container job another user owns the checkout, and the exception that actions/checkout makes ends with its step.
trust_checkout() {
  [[ -n ${GITHUB_ACTIONS:-} && -n ${GITHUB_WORKSPACE:-} ]] || return 0
  if [[ $(LC_ALL=C git -C "$GITHUB_WORKSPACE" rev-parse --git-dir 2>&1) == *"dubious ownership"* ]]; then
    git config --global --add safe.directory "$GITHUB_WORKSPACE"
  fi
}

# Print the folder of the project: the input, this folder, or the only one with a tracked titlebout.toml.
find_project() {
  local found=()
  if [[ -n ${SETUP_PROJECT:-} || -f titlebout.toml ]]; then
    printf '%s' "${SETUP_PROJECT:-.}"
    return
  fi
  mapfile -d '' found < <(git ls-files -z -- '*/titlebout.toml' 2>/dev/null)
  ((${#found[@]} < 2)) || fail "${#found[@]} folders have a titlebout.toml, so the workflow needs the input project: ${found[*]%/titlebout.toml}"
  found=("${found[@]%/titlebout.toml}")
  [[ ${found[0]:-.} != *[$'\n'*?[]* ]] || fail "the path of the project contains a line break or one of the characters *?[; rename the folder"
  printf '%s' "${found[0]:-.}"
}

# Succeeds if the folder contains the Python project with the given name.
is_project() {
  [[ -f $1/pyproject.toml ]] && grep -qE "^name *= *\"$2\" *$" "$1/pyproject.toml"
}

# A generated repository contains the library; an action used from another repository uses the library next to it.
find_library() {
  local folder
  for folder in vendor/titlebout . "$here/../../.."; do
    if is_project "$folder" titlebout; then
      printf '%s' "$folder"
      return
    fi
  done
  fail "titlebout is neither in vendor/titlebout nor next to this action; generate the repository again"
}

installed() {
  uv python find --system --no-python-downloads "$1" 2>/dev/null
}

# Print the Python to use. The input of the action has priority. The version in .python-version is used if it is installed
# or, in a workflow, can be downloaded; otherwise an installed supported version is preferred to a download.
choose_python() {
  local wanted=${SETUP_PYTHON_VERSION:-}
  if [[ -z $wanted && -f .python-version ]]; then
    wanted=$(<.python-version)
    if ! installed "$wanted" >/dev/null && ! { [[ -n ${GITHUB_ACTIONS:-} ]] && uv python install --quiet "$wanted" 2>/dev/null; }; then
      printf '%sPython %s of .python-version is not installed; using another supported version\n' "${GITHUB_ACTIONS:+::notice::}" "$wanted" >&2
      wanted=
    fi
  fi
  printf '%s' "${wanted:-$(installed "$supported" || printf '%s' "$supported")}"
}

command -v uv >/dev/null || fail "uv is not installed; run astral-sh/setup-uv before this step, or see https://docs.astral.sh/uv"
trust_checkout
project=$(find_project)
cd -- "$project"
[[ -f $lock ]] || fail "$lock does not exist; run this in the top folder of the project"

locks=("$lock")
editable=()
library=
if [[ -f $release ]]; then
  grep -q -- '--hash=sha256:' "$release" || fail "$release does not pin titlebout by a hash; run \`make lock\` and commit it"
  locks+=("$release")
else
  library=$(find_library)
  editable=(--editable "$library")
fi
[[ $library == . || ! -f pyproject.toml ]] || editable+=(--editable .)

export VIRTUAL_ENV=$PWD/.venv
uv venv --quiet --allow-existing --python "$(choose_python)" .venv
uv pip sync --quiet --require-hashes "${locks[@]}"
((${#editable[@]} == 0)) || uv pip install --quiet --no-deps --no-build-isolation "${editable[@]}"

version=$(.venv/bin/titlebout --version)
printf '%s, %s, %s\n' "$(uv --version)" "$(.venv/bin/python --version)" "$version"
[[ -z ${GITHUB_PATH:-} ]] || printf '%s\n' "$VIRTUAL_ENV/bin" >>"$GITHUB_PATH"
[[ -z ${GITHUB_OUTPUT:-} ]] || printf 'project=%s\ntitlebout-version=%s\n' "$project" "${version##* }" >>"$GITHUB_OUTPUT"

# Without the packages of its extra, DVC cannot reach the storage of data and models.
storage=$(sed -nE 's/^storage = \["dvc\[([a-z0-9]+)\].*/\1/p' pyproject.toml 2>/dev/null || true)
[[ -z $storage ]] || grep -q "^dvc-$storage==" "$lock" ||
  printf '%s%s does not have dvc-%s, which the storage of data and models needs; run: make lock setup\n' "${GITHUB_ACTIONS:+::warning::}" "$lock" "$storage" >&2
