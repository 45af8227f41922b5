# Shared by the scripts here, which source it: goes to the project's root and keeps its virtual environment in order.
# shellcheck shell=bash

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where everything is installed, and where a copy of each requirements file lies since it was installed.
venv=.venv
installed=$venv/installed

fail() {
    printf '%s\n' "$*" >&2
    exit 1
}

# Prints the command of a Python that is new enough and can make virtual environments.
find_python() {
    local candidate found=
    for candidate in python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            found=$candidate
            if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
                printf '%s\n' "$candidate"
                return
            fi
        fi
    done
    [[ -z $found ]] || fail "$found cannot make virtual environments: install its venv package (Debian: python3-venv)."
    fail "Python 3.11 or newer is missing: install it (Debian: python3 and python3-venv)."
}

# Makes the virtual environment unless there is one that works.
ensure_venv() {
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 && return
    [[ -w . ]] || fail "$PWD is read-only: copy the project to a folder that can be written."
    local python
    python=$(find_python)
    echo "Making the virtual environment in $PWD/$venv ..."
    "$python" -m venv --clear "$venv" || fail "The virtual environment could not be made in $PWD/$venv."
}

# ensure_installed FILE...: installs these requirements unless all are as they were when last installed.
ensure_installed() {
    ensure_venv
    local file arguments=() changed=
    for file in "$@"; do
        arguments+=(--requirement "$file")
        cmp -s "$file" "$installed/$file" || changed=yes
    done
    [[ -n $changed ]] || return 0
    [[ -w $venv ]] || fail "$PWD/$venv is read-only, but $* changed since they were installed."
    echo "Installing $* ..."
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${arguments[@]}" ||
        fail "The requirements could not be installed; pip's message is above."
    for file in "$@"; do
        mkdir -p "$(dirname "$installed/$file")"
        cp "$file" "$installed/$file"
    done
}
